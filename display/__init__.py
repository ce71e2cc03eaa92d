"""What a result looks like beside its screen: pictures, HTML, tables of plain numbers, and the magics of notebooks.

It knows numbers, titles and texts, and neither programs nor runs: what is to be shown is told by `probrun/views.py`.  May import
nothing of ours.
"""

setlocal commentstring=#\ %s comments=:# expandtab shiftwidth=4 formatprg=probrun\ fmt\ -

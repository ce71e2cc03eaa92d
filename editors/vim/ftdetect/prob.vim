autocmd BufNewFile,BufRead *.prob setfiletype prob

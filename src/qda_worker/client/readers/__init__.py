"""Read segments (lines, paragraphs, turns, sentences, rows) from the files that people have.

`corpus.read_corpus` reads files and folders, `file_reader` one file. Each format has a module that returns the text
of the source with its blocks (`document`), or its rows (`table`); `speakers` finds who speaks when in the blocks, and
`segmentation` divides them into segments (`segment`). Packages of the extra `files` are imported where a file needs
one.
"""

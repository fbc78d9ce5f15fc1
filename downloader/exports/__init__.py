"""What an output says of its items, as tables for other programs.

kept_columns.py  the columns of lists: their names and types in a table
item_table.py    every item, with all that is known of it
metadata_table.py   every file of the output, in the ImageFolder convention
"""

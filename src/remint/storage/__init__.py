"""How the files of tables are reached, wherever they lie."""

"""Pure mathematics: arrays and numbers in, arrays and numbers out."""

"""What every request goes through: one layer, ``entrance``, that calls upon a module for each job."""

"""What `mmseg_gc compare` is made of: configs that differ in the model alone, run and measured."""

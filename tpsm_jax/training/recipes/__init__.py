"""What each stage and family trains, as `Recipe`s for `train_step`."""

//! A person's facts and the folds over them.

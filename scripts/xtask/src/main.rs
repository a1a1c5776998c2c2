//! Runs every check of the project by one name.

fn main() {}

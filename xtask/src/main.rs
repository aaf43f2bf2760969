//! Chores of the project: fixtures, schema, checks.
fn main() {}

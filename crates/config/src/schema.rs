//! What editors ask for.

use schemars::JsonSchema;

/// The JSON Schema of files that hold a `T`, as text with a line end.
pub fn schema<T: JsonSchema>() -> String {
    files::to_json(&schemars::schema_for!(T)) + "\n"
}

//! The parser's sentences, said to somebody who writes a file and not a program.

/// Without the parser's programming interface, and with the word that was found.
pub(super) fn in_our_words(message: &str, found: &str) -> String {
    if let Some(rest) = message.strip_prefix("duplicate mapping key: ") {
        let key = rest.split_once(',').map_or(rest, |(key, _)| key);
        return format!("key `{key}` appears twice in this block");
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return format!("unknown choice {rest}");
    }
    if let Some((found, expected)) =
        message.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected "))
    {
        return format!("expected {}, found {}", kind(expected), kind(found));
    }
    let expected = match message {
        "invalid u64" | "invalid u32" | "invalid usize" => "a whole number, not negative",
        "invalid i64" | "invalid i32" => "a whole number",
        "invalid f64" | "invalid f32" | "invalid floating point" => "a number",
        "invalid bool" | "invalid boolean" => "true or false",
        "expected sequence start" => "a list",
        "expected mapping start" => "a block of keys",
        "expected string scalar" => "text",
        "expected end of mapping after enum variant value" => {
            return "only one choice may be made here, found a second key".to_owned();
        }
        other if other.starts_with("cannot deserialize null into string") => "text",
        other if other.starts_with("non-finite float ") => "a finite number",
        other => return other.to_owned(),
    };
    match found.chars().next() {
        Some('[') => format!("expected {expected}, found a list"),
        Some('{') => format!("expected {expected}, found a block of keys"),
        _ => format!("expected {expected}, found `{found}`"),
    }
}

/// What serde calls a kind of value.
fn kind(name: &str) -> &str {
    match name {
        "map" | "a map" => "a block of keys",
        "sequence" | "a sequence" => "a list",
        "unit value" => "nothing",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_what_a_file_may_hold() {
        let said = |message| in_our_words(message, "x");
        assert_eq!(said("invalid u64"), "expected a whole number, not negative, found `x`");
        assert_eq!(
            said("invalid type: map, expected a sequence"),
            "expected a list, found a block of keys"
        );
        assert_eq!(
            said("unknown variant `x`, expected one of a, b"),
            "unknown choice `x`, expected one of a, b"
        );
        assert_eq!(
            said("cannot deserialize null into string; use Option<String>"),
            "expected text, found `x`"
        );
        assert_eq!(said("something else"), "something else");
        assert_eq!(
            in_our_words("expected mapping start", "[0.6"),
            "expected a block of keys, found a list"
        );
    }
}

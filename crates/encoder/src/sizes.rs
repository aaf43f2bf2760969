//! Settings that no network has. A number that lies would be believed until the weights are looked at:
//! names made for layers that are not there, memory taken for them.

use serde::Serialize;
use serde_json::Value;

use crate::{Error, Result};

/// Most blocks of a network; published ones have some dozens.
const LAYERS: u64 = 1_000;
/// Widest of anything: tokens, feed-forwards, windows, parcels.
const WIDTH: u64 = 1 << 17;
/// Most numbers in a list, such as the blocks of each stage.
const LISTED: usize = 64;

/// Refuses the first setting of `encoder` that is a size of no network.
///
/// # Errors
/// Names the setting, what it is, and the most that is expected.
pub(crate) fn check(encoder: &'static str, config: &impl Serialize) -> Result<()> {
    let said = serde_json::to_value(config).expect("settings are plain values");
    match too_large("", &said) {
        None => Ok(()),
        Some(reason) => Err(Error::Setting { encoder, reason }),
    }
}

fn too_large(key: &str, value: &Value) -> Option<String> {
    let most = match key {
        // each scale is twice as wide as the one before it
        "scales" => 16,
        _ if key.contains("depth") || key.contains("layers") => LAYERS,
        _ => WIDTH,
    };
    let refuse = |found: &dyn std::fmt::Display| {
        Some(format!("`{key}` is {found}, expected at most {most}"))
    };
    match value {
        // a seed is no size, and how much moves is compared with what there is
        Value::Object(_) if matches!(key, "weights" | "trainable") => None,
        Value::Object(fields) => fields.iter().find_map(|(key, value)| too_large(key, value)),
        Value::Array(items) if items.len() > LISTED && items.iter().all(Value::is_u64) => {
            Some(format!("`{key}` lists {} numbers, expected at most {LISTED}", items.len()))
        }
        Value::Array(items) => items.iter().find_map(|item| too_large(key, item)),
        Value::Number(number) => {
            number.as_u64().filter(|&found| found > most).and_then(|found| refuse(&found))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_of_no_network_is_named() {
        let check = |config| check("swift", &serde_json::json!(config));
        let said = |config: Value| check(config).unwrap_err().to_string();
        assert!(check(serde_json::json!({ "depth": 1000, "dim": 1 << 17 })).is_ok());
        assert!(check(serde_json::json!({ "weights": { "seed": u64::MAX } })).is_ok());
        let depth = said(serde_json::json!({ "network": { "num_hidden_layers": 1_000_000_000 } }));
        assert!(depth.contains("`num_hidden_layers` is 1000000000, expected at most 1000"));
        let listed = said(serde_json::json!({ "depths": [2, 2, 1001] }));
        assert!(listed.contains("`depths` is 1001, expected at most 1000"), "{listed}");
        let wide = said(serde_json::json!({ "dim": 131_073 }));
        assert!(wide.contains("`dim` is 131073, expected at most 131072"), "{wide}");
        let long = said(serde_json::json!({ "n_heads": vec![1; 65] }));
        assert!(long.contains("`n_heads` lists 65 numbers, expected at most 64"), "{long}");
    }
}

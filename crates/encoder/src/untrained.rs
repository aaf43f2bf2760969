//! What `trainable` may say of an encoder that has no weights.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

/// There is nothing to train; what is written again does not say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Untrained {
    /// The encoder has no weights.
    #[default]
    None,
}

impl<'de> Deserialize<'de> for Untrained {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if Value::deserialize(deserializer)? == "none" {
            return Ok(Self::None);
        }
        Err(D::Error::custom(
            "this encoder has no weights, so there is nothing to train, expected `none`",
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{ConnectivityConfig, StoredConfig};

    #[test]
    fn nothing_is_trained_and_anything_else_is_refused() {
        let said: ConnectivityConfig =
            serde_json::from_value(json!({ "trainable": "none" })).unwrap();
        assert_eq!(said, ConnectivityConfig::default());
        assert_eq!(serde_json::to_value(&said).unwrap(), json!({ "tokens": "all" }));
        for wrong in [json!("all"), json!({ "lora": {} }), json!({ "last_n_blocks": 1 })] {
            let said =
                serde_json::from_value::<StoredConfig>(json!({ "dim": 2, "trainable": wrong }));
            assert!(said.unwrap_err().to_string().contains("there is nothing to train"));
        }
    }
}

//! Results that our kernels and candle's operations make are not the same bits.
use flamingo::{Device, Ops};
use serde_json::{Value, json};

/// Adds to what decides a result that candle's operations made it, and on what: our kernels round otherwise, and so
/// does a GPU, and none may take what another made.
pub(crate) fn add_ops(device: &Device, decides: &mut Value) {
    if device.ops() == Ops::Composed {
        *decides = json!({ "ops": device.rounding(), "inputs": decides.take() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_composed_operations_have_keys_of_their_own() {
        let decided = |device: &Device| {
            let mut decides = json!(["aa"]);
            add_ops(device, &mut decides);
            decides
        };
        assert_eq!(decided(&Device::cpu()), json!(["aa"]));
        let composed = json!({ "ops": "composed", "inputs": ["aa"] });
        assert_eq!(decided(&Device::cpu_composed()), composed);
    }
}

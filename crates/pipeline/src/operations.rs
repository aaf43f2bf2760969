//! Results that our kernels and candle's operations make are not the same bits.
use flamingo::{Device, Ops};
use serde_json::{Value, json};

/// Adds to what decides a result that candle's operations made it: our kernels round otherwise, so neither may
/// take the other's.
pub(crate) fn add_ops(device: &Device, decides: &mut Value) {
    if device.ops() == Ops::Composed {
        *decides = json!({ "ops": "composed", "inputs": decides.take() });
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
        assert_ne!(decided(&Device::cpu_composed()), json!(["aa"]));
    }
}

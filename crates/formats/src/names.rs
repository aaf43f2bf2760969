//! Tensor names without what wrappers of a model put into them.

use std::borrow::Cow;

/// What wrappers put before the part of the model that they wrap: `torch.compile`, FSDP and its
/// older form, activation checkpointing.
const ANYWHERE: [&str; 4] =
    ["_orig_mod", "_fsdp_wrapped_module", "_fpw_module", "_checkpoint_wrapped_module"];

/// What data-parallel training puts before the names of the whole model.
const IN_FRONT: &str = "module";

/// The name that the tensor had before its model was wrapped, whatever the order of the wrappers:
/// `_orig_mod.module.norm.weight` is `norm.weight`.
pub fn unwrapped(name: &str) -> Cow<'_, str> {
    let is_wrapper = |part: &str| ANYWHERE.contains(&part);
    let leads = |part: &str| is_wrapper(part) || part == IN_FRONT;
    let mut rest = name;
    while let Some((part, after)) = rest.split_once('.')
        && leads(part)
    {
        rest = after;
    }
    if !rest.split('.').any(is_wrapper) {
        return Cow::Borrowed(rest);
    }
    let kept: Vec<&str> = rest.split('.').filter(|part| !is_wrapper(part)).collect();
    Cow::Owned(kept.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_taken_off_in_any_order_and_nothing_else() {
        for (wrapped, expected) in [
            ("norm.weight", "norm.weight"),
            ("module.norm.weight", "norm.weight"),
            ("_orig_mod.norm.weight", "norm.weight"),
            ("module._orig_mod.norm.weight", "norm.weight"),
            ("_orig_mod.module.norm.weight", "norm.weight"),
            ("module.module._orig_mod.module.norm.weight", "norm.weight"),
            ("_fsdp_wrapped_module._orig_mod.norm.weight", "norm.weight"),
            ("layers.0._checkpoint_wrapped_module.norm.weight", "layers.0.norm.weight"),
            ("lang_encoder._orig_mod.model.norm.weight", "lang_encoder.model.norm.weight"),
            ("layers.module.weight", "layers.module.weight"),
            ("modules.weight", "modules.weight"),
            ("module", "module"),
        ] {
            assert_eq!(unwrapped(wrapped), expected, "{wrapped}");
        }
    }
}

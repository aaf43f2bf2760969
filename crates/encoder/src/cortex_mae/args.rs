//! What the `args` of a CortexMAE's checkpoint say: everything that its tensors do not tell.

use formats::Value;

use super::{CortexMaeDecoding, CortexMaePositions};

/// Input spaces of the siblings that are not built.
const SIBLINGS: [&str; 2] = ["flat", "mni_cortex"];

/// Input spaces of parcels, with the id of the atlas in a pipeline file.
pub(super) const SPACES: [(&str, usize, &str); 4] = [
    ("schaefer400", 400, "schaefer400_17networks"),
    ("schaefer400_tians3", 450, "tian50_schaefer400_17networks"),
    ("a424", 424, "A424"),
    ("schaefer1000", 1000, "schaefer1000_17networks"),
];

/// The settings that matter, where the file says them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Args {
    pub(super) n_parcels: Option<usize>,
    pub(super) n_frames: Option<usize>,
    pub(super) patch: Option<usize>,
    pub(super) n_registers: Option<usize>,
    pub(super) n_heads: Option<usize>,
    pub(super) positions: Option<CortexMaePositions>,
    pub(super) decoding: Option<CortexMaeDecoding>,
    pub(super) decoder_heads: Option<usize>,
    pub(super) decode_positions: Option<bool>,
    pub(super) mask_ratio: Option<f64>,
}

impl Args {
    /// Reads them; a sentence where they are of a network that is not built.
    pub(super) fn of(metadata: &Value) -> Result<Self, String> {
        let Some(args) = metadata.get("args") else { return Ok(Self::default()) };
        let text = |key: &str| args.get(key).and_then(Value::as_text);
        if let Some(space) = text("input_space").filter(|it| SIBLINGS.contains(it)) {
            return Err(format!("its input space is {space}, expected one of parcels"));
        }
        let kwargs = args.get("model_kwargs");
        let kwarg = |key: &str| kwargs.and_then(|it| it.get(key)).filter(|it| **it != Value::None);
        let either = |key: &str| kwarg(key).or_else(|| args.get(key));
        let number = |key: &str| either(key).and_then(Value::as_int::<usize>);
        let flag = |key: &str| match kwarg(key) {
            Some(Value::Bool(flag)) => Some(*flag),
            _ => None,
        };
        let word = |key: &str| kwarg(key).and_then(Value::as_text);
        let built = |key: &str, usual: bool| match flag(key) {
            Some(found) if found != usual => {
                Err(format!("`args` say {key} {found}, expected {usual}"))
            }
            _ => Ok(()),
        };
        built("qkv_bias", true)?;
        built("proj_bias", true)?;
        built("mask_drop_scale", false)?;
        if let Some(ratio) = kwarg("mlp_ratio").and_then(Value::as_float).filter(|it| *it != 4.) {
            return Err(format!("`args` say mlp_ratio {ratio}, expected 4"));
        }
        if let Some(channels) = number("in_chans").filter(|n| *n != 1) {
            return Err(format!("`args` say in_chans {channels}, expected 1"));
        }
        let patch_size = either("patch_size").map(sides);
        if let Some(sides) = patch_size.filter(|it| it.iter().any(|side| *side != 1)) {
            return Err(format!("`args` say patch_size {sides:?}, expected 1 for parcels"));
        }
        let positions = match word("pos_embed") {
            None => None,
            Some("sep") => Some(CortexMaePositions::Separable),
            Some("abs") => Some(CortexMaePositions::Absolute),
            Some("sincos") => Some(CortexMaePositions::Sines),
            Some(other) => return Err(format!("`args` say pos_embed {other}, which is not known")),
        };
        let decoding = match word("decoding") {
            None | Some("attn") => CortexMaeDecoding::Attn,
            Some("cross") => CortexMaeDecoding::Cross,
            Some("crossreg") => CortexMaeDecoding::CrossReg,
            Some(other) => return Err(format!("`args` say decoding {other}, which is not known")),
        };
        Ok(Self {
            n_parcels: either("img_size").map(|it| sides(it).into_iter().product()),
            n_frames: number("num_frames"),
            patch: number("t_patch_size"),
            n_registers: number("reg_tokens"),
            n_heads: number("num_heads"),
            positions,
            decoding: Some(decoding),
            decoder_heads: number("decoder_num_heads"),
            // the program's default where the checkpoint has `args` without it
            decode_positions: Some(!flag("no_decode_pos").unwrap_or(false)),
            mask_ratio: args.get("mask_ratio").and_then(Value::as_float),
        })
    }
}

/// One number or several.
fn sides(value: &Value) -> Vec<usize> {
    let number = |value: &Value| value.as_int::<usize>().unwrap_or(0);
    value.as_list().map_or_else(|| vec![number(value)], |all| all.iter().map(number).collect())
}

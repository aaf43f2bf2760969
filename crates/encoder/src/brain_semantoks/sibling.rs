//! The sizes that a weight file of Brain-Semantoks tells, and its siblings with other tokenizers, which
//! are refused: a file does not tell all that theirs need.

use formats::Value;

use super::size::{DenseBranch, StructuredBranch};
use super::{BrainSemantoksSize, SemantoksBranch};
use crate::weights::Shapes;

const TOKENIZERS: &str = "network_tokenizers.";

/// Sizes from shapes and from the checkpoint's `config`, if it has one.
pub(super) fn size(
    shapes: &Shapes,
    metadata: &Value,
    networks: &[[usize; 2]],
) -> Result<BrainSemantoksSize, String> {
    if shapes.get("shared_roi_projection.weight").is_some() {
        return Err("its tokens are of single ROIs (max_spatial), expected a tokenizer a network"
            .to_owned());
    }
    let model = metadata.get("config").and_then(|config| config.get("model"));
    let tokenizer = model.and_then(|model| model.get("tokenizer"));
    let usual = BrainSemantoksSize::default();
    let atlas = if shapes.count(&format!("{TOKENIZERS}{}", usual.atlas), "norm.weight") > 0 {
        usual.atlas.clone()
    } else {
        shapes.first_below(TOKENIZERS).ok_or("holds no `network_tokenizers`")?
    };
    let at =
        |network: usize, name: &str| shapes.get(&format!("{TOKENIZERS}{atlas}.{network}.{name}"));
    is_published(tokenizer, &at)?;
    let unknown = || format!("its tokenizers have tensors of other shapes, {EXPECTED}");
    let Some(&[dense, n_rois, kernel]) = at(0, "branches.0.weight") else {
        return Err(unknown());
    };
    let structured = at(0, "branches.1.projection.weight");
    let (Some(&[structured, _]), Some(&[_, _, short])) =
        (structured, at(0, "branches.1.slconv.kernel_list.0"))
    else {
        return Err(unknown());
    };
    let scales = (0..)
        .take_while(|scale| at(0, &format!("branches.1.slconv.kernel_list.{scale}")).is_some());
    let size = BrainSemantoksSize {
        networks: networks.to_vec(),
        branches: vec![
            SemantoksBranch::Dense(DenseBranch { channels: dense, kernel, dilation: 1 }),
            SemantoksBranch::Structured(StructuredBranch {
                channels: structured,
                kernel: short,
                scales: scales.count(),
            }),
        ],
        depth: shapes.count("inter_network_transformer.transformer_blocks", "norm1.weight"),
        hidden: shapes
            .get("inter_network_transformer.transformer_blocks.0.mlp.0.weight")
            .map_or(usual.hidden, |shape| shape[0]),
        layer_scale: shapes
            .get("inter_network_transformer.transformer_blocks.0.ls1.gamma")
            .is_some(),
        mask_token: shapes.get("inter_network_transformer.mask_embedding").is_some(),
        atlas: atlas.clone(),
        ..usual
    };
    let n_heads = (size.dim() / 64).max(1);
    let n_times = shapes.get("inter_network_transformer.temporal_pos_embedding");
    let n_times = n_times.map_or(size.n_times(), |shape| shape[0]);
    let patch = metadata
        .get("config")
        .and_then(|config| config.get("data"))
        .and_then(|data| data.get("patch_size"))
        .and_then(Value::as_int::<usize>)
        .unwrap_or(size.patch);
    let found = size.rois().len();
    let n_tokenizers = shapes.count(&format!("{TOKENIZERS}{atlas}"), "branches.0.weight");
    if n_tokenizers != found {
        return Err(format!("has tokenizers of {n_tokenizers} networks, expected {found}"));
    }
    let first = size.rois().first().map_or(0, Vec::len);
    if n_rois != first {
        return Err(format!("its first network has {n_rois} ROIs, the map of networks {first}"));
    }
    Ok(BrainSemantoksSize { n_heads, patch, n_frames: n_times * patch, ..size })
}

const EXPECTED: &str = "expected the published ones: a dense and a structured convolution, pooled by \
                        their mean, then a layer norm";

/// Refuses tokenizers that the tensors or the checkpoint's `config` call by another name.
fn is_published<'a>(
    said: Option<&Value>,
    at: &impl Fn(usize, &str) -> Option<&'a [usize]>,
) -> Result<(), String> {
    let refuse = |what: &str| Err(format!("its tokenizers {what}, {EXPECTED}"));
    if at(0, "pool.attention.weight").is_some() {
        return refuse("pool by attention");
    }
    if at(0, "norm.weight").is_none() {
        return refuse("have no norm");
    }
    if at(0, "branches.0.depthwise.weight").is_some()
        || at(0, "branches.1.depthwise.weight").is_some()
    {
        return refuse("convolve ROI by ROI");
    }
    if at(0, "branches.2.weight").is_some() || at(0, "branches.2.projection.weight").is_some() {
        return refuse("have more than two branches");
    }
    if at(0, "branches.1.slconv.D").is_none() {
        return refuse("have no structured convolution as their second branch");
    }
    let Some(said) = said else { return Ok(()) };
    if let Some(pooling) = said.get("pooling_type").and_then(Value::as_text)
        && pooling != "mean"
    {
        return refuse(&format!("pool by `{pooling}`"));
    }
    let branches = said.get("config").and_then(Value::as_list).unwrap_or(&[]);
    let dilated = branches.iter().filter_map(|branch| branch.get("dilation"));
    if dilated.filter_map(Value::as_int::<usize>).any(|dilation| dilation != 1) {
        return refuse("are dilated");
    }
    Ok(())
}

use super::*;
use crate::{GatesConfig, ResamplerConfig};
use candle_core::{D, DType, Device, Var};
use encoder::{EncoderConfig, VoxelFramesConfig};
use lm::{Llama, LlamaConfig};
use nn::gradcheck::{check, sample};
use nn::weights::{Frozen, Variables};
use std::path::Path;

/// `<image>` of the test vocabulary: ten base tokens, then end-of-chunk and `<image>`.
const IMAGE: u32 = 11;

pub(crate) fn config() -> FlamingoConfig {
    FlamingoConfig {
        encoder: EncoderConfig::VoxelFrames(VoxelFramesConfig { dim: 8, n_groups: 2 }),
        resampler: ResamplerConfig {
            n_latents: 3,
            depth: 1,
            n_heads: 2,
            head_dim: 4,
            ff_mult: 2,
            max_num_media: None,
            max_num_frames: None,
        },
        gates: GatesConfig {
            every: 1,
            n_heads: 2,
            head_dim: 4,
            ff_mult: 2,
            only_attend_immediate_media: true,
        },
        compat: Compat::None,
    }
}

const INPUT: InputShape = InputShape::Window { n_frames: 4, n_voxels: 5 };

fn flamingo(dtype: DType, gates: f64) -> Result<(Flamingo, Variables, Llama)> {
    let (frozen, trained) = (Variables::default(), Variables::default());
    let config_lm = LlamaConfig::tiny(10);
    let lm = Llama::new(&config_lm, frozen.builder(1, dtype))?;
    // the language model inside is made of constants, as from a file
    let constants = Frozen::from_tensors(Path::new("lm"), frozen.tensors());
    let inner = Box::new(Llama::new(&config_lm, constants.builder(dtype))?);
    let vb = trained.builder(2, dtype);
    let flamingo = Flamingo::new(&config(), INPUT, inner, 10..12, vb.pp("encoder"), vb)?;
    for (name, var) in trained.all() {
        if name.ends_with("_gate") {
            var.set(&Tensor::full(gates, 1, &Device::Cpu)?.to_dtype(dtype)?)?;
        }
    }
    Ok((flamingo, trained, lm))
}

fn text(rows: &[&[u32]]) -> Result<TextView> {
    let n_tokens = rows[0].len();
    let ids: Vec<u32> = rows.iter().flat_map(|row| row.iter().copied()).collect();
    Ok(TextView {
        ids: Tensor::from_vec(ids, (rows.len(), n_tokens), &Device::Cpu)?,
        step: Step::plain(rows.len(), n_tokens)?,
        text_time: rows.iter().map(|row| crate::media::text_time(row, IMAGE)).collect(),
    })
}

fn scans(name: &str, n_media: usize) -> Result<Var> {
    sample(name, (1, n_media, 1, 4, 5))
}

fn logits(model: &Flamingo, text: &TextView, scans: Option<&Tensor>) -> Result<Tensor> {
    let media = scans.map(|scans| model.look(&EncoderInput::new(scans.clone()))).transpose()?;
    model.head(&model.hidden(text, media.as_ref(), None)?)
}

fn gap(a: &Tensor, b: &Tensor) -> Result<f64> {
    (a - b)?.abs()?.max_all()?.to_dtype(DType::F64)?.to_scalar()
}

#[test]
fn closed_gates_leave_the_language_model_unchanged_bit_for_bit() -> Result<()> {
    let (model, trained, lm) = flamingo(DType::F32, 0.)?;
    let words = text(&[&[3, 4, 7, 1]])?;
    let scans = scans("s", 1)?.to_dtype(DType::F32)?;
    let alone = lm.logits(&words.ids, &words.step)?;
    let base = |logits: Tensor| logits.narrow(D::Minus1, 0, 10);
    assert_eq!(gap(&base(logits(&model, &words, Some(&scans))?)?, &alone)?, 0.);
    // each gate alone opens the model, so that the test above is about both
    for gate in ["attn_gate", "ff_gate"] {
        let seen = text(&[&[3, IMAGE, 7, 1]])?;
        let closed = logits(&model, &seen, Some(&scans))?;
        for (name, var) in trained.all().iter().filter(|(name, _)| name.ends_with(gate)) {
            var.set(&Tensor::full(0.5f32, 1, &Device::Cpu)?)?;
            assert!(name.contains("gated_cross_attn_layer"));
        }
        assert!(gap(&logits(&model, &seen, Some(&scans))?, &closed)? > 1e-4, "{gate}");
        for (_, var) in trained.all().iter().filter(|(name, _)| name.ends_with(gate)) {
            var.set(&Tensor::full(0f32, 1, &Device::Cpu)?)?;
        }
    }
    Ok(())
}

#[test]
fn every_trained_tensor_has_the_gradient_of_finite_differences() -> Result<()> {
    let (model, trained, _) = flamingo(DType::F64, 0.7)?;
    let text = text(&[&[IMAGE, 4, 10, 1]])?;
    let scans = scans("s", 1)?;
    let named = trained.all();
    let mut vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
    // encoder 3, resampler 1 + 11 + 2, two gated blocks of 11, special rows
    assert_eq!(vars.len(), 3 + 14 + 2 * 11 + 1);
    vars.push(("scans", &scans));
    check(&vars, || {
        let logits = logits(&model, &text, Some(&scans))?.squeeze(0)?;
        nn::cross_entropy(&logits, vec![4, 10, 1, 3])?.mean_all()
    })
}

#[test]
fn adapter_tensors_carry_openflamingos_names() -> Result<()> {
    let (_, trained, _) = flamingo(DType::F32, 0.)?;
    let names: Vec<_> = trained.all().into_iter().map(|(name, _)| name).collect();
    for expected in [
        "perceiver.latents",
        "perceiver.layers.0.0.norm_media.weight",
        "perceiver.layers.0.0.to_q.weight",
        "perceiver.layers.0.0.to_kv.weight",
        "perceiver.layers.0.1.0.bias",
        "perceiver.layers.0.1.3.weight",
        "perceiver.norm.weight",
        "lang_encoder.model.layers.1.gated_cross_attn_layer.attn_gate",
        "lang_encoder.model.layers.1.gated_cross_attn_layer.ff_gate",
        "lang_encoder.model.layers.0.gated_cross_attn_layer.attn.norm.bias",
        "lang_encoder.model.layers.0.gated_cross_attn_layer.attn.to_kv.weight",
        "lang_encoder.model.layers.0.gated_cross_attn_layer.ff.1.weight",
    ] {
        assert!(names.iter().any(|name| name == expected), "{expected} not in {names:#?}");
    }
    Ok(())
}

#[test]
fn text_sees_the_latest_scan_only_and_nothing_before_the_first() -> Result<()> {
    let (model, _, _) = flamingo(DType::F64, 0.7)?;
    let text = text(&[&[3, IMAGE, 4, IMAGE, 5]])?;
    let (one, other) = (scans("one", 2)?, scans("two", 2)?);
    let second_swapped = Tensor::cat(&[&one.narrow(1, 0, 1)?, &other.narrow(1, 1, 1)?], 1)?;
    let a = logits(&model, &text, Some(&one))?;
    let b = logits(&model, &text, Some(&second_swapped))?;
    assert_eq!(gap(&a.narrow(1, 0, 3)?, &b.narrow(1, 0, 3)?)?, 0.);
    assert!(gap(&a.narrow(1, 3, 2)?, &b.narrow(1, 3, 2)?)? > 1e-6);
    let c = logits(&model, &text, Some(&other))?;
    assert_eq!(gap(&a.narrow(1, 0, 1)?, &c.narrow(1, 0, 1)?)?, 0.);
    assert!(gap(&a.narrow(1, 1, 1)?, &c.narrow(1, 1, 1)?)? > 1e-6);
    Ok(())
}

#[test]
fn a_batch_equals_its_singles() -> Result<()> {
    let (model, _, _) = flamingo(DType::F64, 0.7)?;
    let rows: [&[u32]; 2] = [&[IMAGE, 4, 2, 1], &[6, IMAGE, 9, 10]];
    let (one, two) = (scans("one", 1)?, scans("two", 1)?);
    let both =
        logits(&model, &text(&rows)?, Some(&Tensor::cat(&[one.as_tensor(), two.as_tensor()], 0)?))?;
    for (idx, scans) in [one, two].iter().enumerate() {
        let single = logits(&model, &text(&rows[idx..=idx])?, Some(scans))?;
        assert!(gap(&both.narrow(0, idx, 1)?, &single)? < 1e-10);
    }
    Ok(())
}

mod several;

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
        lora: None,
        media: Vec::new(),
        compat: Compat::None,
    }
}

const INPUT: InputShape = InputShape::Window { n_frames: 4, n_voxels: 5 };

fn flamingo(dtype: DType, gates: f64) -> Result<(Flamingo, Variables, Llama)> {
    of(&config(), dtype, gates)
}

fn of(config: &FlamingoConfig, dtype: DType, gates: f64) -> Result<(Flamingo, Variables, Llama)> {
    let (frozen, trained) = (Variables::default(), Variables::default());
    let config_lm = LlamaConfig::tiny(10);
    Llama::new(&config_lm, frozen.builder(1, dtype))?;
    // the language model is made of constants, as from a file
    let constants = Frozen::from_tensors(Path::new("lm"), frozen.tensors());
    let lm = || Llama::new(&config_lm, constants.builder(dtype));
    let (inner, lm) = (Box::new(lm()?), lm()?);
    let vb = trained.builder(2, dtype);
    let flamingo = Flamingo::new(config, INPUT, inner, 10..12, vb.pp("encoder"), vb)?;
    for (name, var) in trained.all() {
        if name.ends_with("_gate") {
            var.set(&Tensor::full(gates, 1, &Device::Cpu)?.to_dtype(dtype)?)?;
        }
    }
    Ok((flamingo, trained, lm))
}

/// The same of constants alone, as a package is opened; they follow the variables.
fn opened(trained: &Variables, lm: &Llama) -> Result<Flamingo> {
    let vb = Frozen::from_tensors(Path::new("adapter"), trained.tensors()).builder(DType::F32);
    Flamingo::new(&config(), INPUT, Box::new(lm.clone()), 10..12, vb.pp("encoder"), vb)
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
    let media =
        scans.map(|scans| model.encode_media(&EncoderInput::new(scans.clone()))).transpose()?;
    model.head(&model.hidden(text, media.as_ref(), None)?)
}

fn gap(a: &Tensor, b: &Tensor) -> Result<f64> {
    (a - b)?.abs()?.max_all()?.to_dtype(DType::F64)?.to_scalar()
}

#[test]
fn closed_gates_leave_the_language_model_unchanged_bit_for_bit() -> Result<()> {
    let (_, trained, lm) = flamingo(DType::F32, 0.)?;
    let model = opened(&trained, &lm)?;
    let words = text(&[&[3, 4, 7, 1]])?;
    let scans = scans("s", 1)?.as_detached_tensor().to_dtype(DType::F32)?;
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
        nn::cross_entropy(nn::Ops::Kernels, &logits, vec![4, 10, 1, 3])?.mean_all()
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

/// How much the logits of each token of `<image>`-less, first and second part change when the
/// first or the second scan does.
fn changes(config: &FlamingoConfig) -> Result<[[bool; 3]; 2]> {
    let (model, _, _) = of(config, DType::F64, 0.7)?;
    let text = text(&[&[3, IMAGE, 4, IMAGE, 5]])?;
    let (one, other) = (scans("one", 2)?, scans("two", 2)?);
    let plain = logits(&model, &text, Some(&one))?;
    let mut changed = [[false; 3]; 2];
    for (which, changed) in changed.iter_mut().enumerate() {
        let of = |place| if place == which { &other } else { &one }.narrow(1, place, 1);
        let found = logits(&model, &text, Some(&Tensor::cat(&[&of(0)?, &of(1)?], 1)?))?;
        for (at, changed) in [0, 2, 4].into_iter().zip(changed) {
            *changed = gap(&plain.narrow(1, at, 1)?, &found.narrow(1, at, 1)?)? > 1e-9;
        }
    }
    Ok(changed)
}

#[test]
fn text_sees_the_latest_scan_or_all_before_it_and_those_after_it_only_as_in_openflamingo()
-> Result<()> {
    let with = |immediate, compat| {
        let mut config = config();
        config.gates.only_attend_immediate_media = immediate;
        changes(&FlamingoConfig { compat, ..config })
    };
    // self-attention carries the first scan on to the text after the second
    let latest = [[false, true, true], [false, false, true]];
    assert_eq!(with(true, Compat::None)?, latest);
    assert_eq!(with(true, Compat::OpenFlamingo)?, latest);
    assert_eq!(with(false, Compat::None)?, latest);
    assert_eq!(with(false, Compat::OpenFlamingo)?, [[true; 3], [true; 3]]);
    let differ = |a: bool, b: bool| -> Result<f64> {
        let logits_of = |immediate| {
            let mut config = config();
            config.gates.only_attend_immediate_media = immediate;
            let (model, _, _) = of(&config, DType::F64, 0.7)?;
            let words = text(&[&[IMAGE, IMAGE, 5]])?;
            logits(&model, &words, Some(scans("one", 2)?.as_tensor()))
        };
        gap(&logits_of(a)?, &logits_of(b)?)
    };
    assert!(differ(true, false)? > 1e-6 && differ(true, true)? == 0.);
    Ok(())
}

#[test]
fn gated_blocks_stand_before_every_kth_block() -> Result<()> {
    for every in 1..=2 {
        let mut config = config();
        config.gates.every = every;
        let (model, _, _) = of(&config, DType::F32, 0.)?;
        let blocks: Vec<usize> = model.gate_openings()?.into_iter().map(|it| it.0).collect();
        let expected: Vec<usize> = (0..2).filter(|idx| (idx + 1) % every == 0).collect();
        assert_eq!(blocks, expected);
    }
    for every in [0, 3] {
        let mut config = config();
        config.gates.every = every;
        let error = of(&config, DType::F32, 0.).err().unwrap().to_string();
        assert!(error.contains(&format!("every {every} blocks")), "{error}");
    }
    Ok(())
}

#[test]
fn the_gated_feed_forward_runs_without_a_scan() -> Result<()> {
    let (model, _, lm) = flamingo(DType::F64, 0.7)?;
    let words = text(&[&[3, 4, 5]])?;
    let alone = lm.logits(&words.ids, &words.step)?;
    let without = logits(&model, &words, None)?.narrow(D::Minus1, 0, 10)?;
    assert!(gap(&without, &alone)? > 1e-6);
    // a scan that no token sees changes nothing
    let beside = logits(&model, &words, Some(scans("one", 1)?.as_tensor()))?;
    assert_eq!(gap(&beside.narrow(D::Minus1, 0, 10)?, &without)?, 0.);
    Ok(())
}

#[test]
fn text_after_a_surplus_image_looks_at_all_scans_alike() -> Result<()> {
    let (model, _, _) = flamingo(DType::F64, 0.7)?;
    let text = text(&[&[IMAGE, 4, IMAGE, IMAGE, 5]])?;
    let two = scans("one", 2)?;
    let order = Tensor::new(&[1u32, 0], &Device::Cpu)?;
    // only the surplus token is asked; both scans in either order give it the same
    let one_token = TextView { text_time: vec![vec![3]], ..self::text(&[&[5]])? };
    let a = logits(&model, &one_token, Some(&two))?;
    let b = logits(&model, &one_token, Some(&two.index_select(&order, 1)?))?;
    assert!(gap(&a, &b)? < 1e-12);
    let seen = logits(&model, &TextView { text_time: vec![vec![2]], ..one_token }, Some(&two))?;
    assert!(gap(&a, &seen)? > 1e-6);
    assert_eq!(text.text_time, vec![vec![1, 1, 2, 3, 3]]);
    Ok(())
}

/// A loss of every hidden number, and of the latents.
fn any_loss(hidden: &Tensor, latents: &Tensor) -> Result<Tensor> {
    let text = (hidden.sin()?.sum_all()? + hidden.sqr()?.mean_all()?)?;
    text + latents.cos()?.sum_all()?
}

#[test]
fn checkpointed_gradients_are_those_of_one_graph() -> Result<()> {
    for every in [1, 2] {
        let mut config = config();
        config.gates.every = every;
        let (model, trained, _) = of(&config, DType::F64, 0.7)?;
        let words = text(&[&[3, IMAGE, 4, 7, 1], &[IMAGE, 2, 5, 5, 6]])?;
        // a third scan has no text
        let [a, b, c] = ["a", "b", "c"].map(|name| scans(name, 1).unwrap().as_detached_tensor());
        let all = Tensor::cat(&[a, b, c], 0)?;
        let input = EncoderInput::new(all);
        let media = model.encode_media(&input)?;
        let hidden = model.hidden(&words, Some(&media.first(2)?), None)?;
        let expected_loss = any_loss(&hidden, media.latents())?;
        let expected = expected_loss.backward()?;
        // by rows of the text, the latents with the first
        let (loss, found) =
            model.checkpointed(&input.clone().into(), &words, 2, |hidden, latents, part| {
                let row = hidden.narrow(0, part, 1)?;
                let row = (row.sin()?.sum_all()? + (row.sqr()?.mean_all()? / 2.)?)?;
                if part == 0 { row + latents.cos()?.sum_all()? } else { Ok(row) }
            })?;
        assert!(gap(&loss, &expected_loss)? < 1e-12);
        let mut n = 0;
        for (name, var) in trained.all() {
            match (found.get(&var), expected.get(&var)) {
                (Some(found), Some(expected)) => {
                    let scale = expected.abs()?.max_all()?.to_scalar::<f64>()?.max(1e-30);
                    assert!(gap(found, expected)? / scale < 1e-6, "{name}");
                    n += 1;
                }
                (found, expected) => {
                    assert_eq!(found.is_some(), expected.is_some(), "{name}");
                }
            }
        }
        assert!(n > 20, "{n}");
    }
    Ok(())
}

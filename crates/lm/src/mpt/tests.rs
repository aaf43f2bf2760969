use candle_core::Result;

use super::*;
use crate::LmConfig;
use crate::config::Architecture;
use crate::testing::plain::{self, Rows, Weights, add, attention, columns, gelu, map};
use crate::testing::{agrees_with_the_recorded_case, holds};

fn mpt(edit: impl Fn(&mut MptConfig)) -> LmConfig {
    let mut config = MptConfig::tiny(10);
    edit(&mut config);
    LmConfig::Mpt(config)
}

fn mosaic(edit: impl Fn(&mut MosaicGptConfig)) -> LmConfig {
    let mut config = MosaicGptConfig::tiny(10);
    edit(&mut config);
    LmConfig::MosaicGpt(config)
}

/// What a derivation must know of a model, written down by hand for each variant.
struct Facts {
    config: LmConfig,
    n_tensors: usize,
    /// Norms, their last one, feed-forward.
    names: [&'static str; 5],
    slopes: [f64; 3],
    qk_norm: bool,
    clip: f64,
    scale: f64,
    learned: bool,
    logit_scale: f64,
}

const MPT: [&str; 5] = ["norm_1", "norm_2", "norm_f", "ffn.up_proj", "ffn.down_proj"];
const MOSAIC: [&str; 5] = ["ln_1", "ln_2", "ln_f", "mlp.mlp_up", "mlp.mlp_down"];

/// A model without anything that is not in every model.
fn bare(config: LmConfig, n_tensors: usize, names: [&'static str; 5]) -> Facts {
    Facts {
        config,
        n_tensors,
        names,
        slopes: [0.; 3],
        qk_norm: false,
        clip: f64::INFINITY,
        scale: 0.5,
        learned: false,
        logit_scale: 1.,
    }
}

/// MPT-7B, one with everything else that MPT may have, MPT-1B, and one without ALiBi.
fn variants() -> [Facts; 4] {
    let every = mpt(|config| {
        config.attn_config.clip_qkv = Some(0.4);
        config.attn_config.softmax_scale = Some(0.7);
        config.attn_config.qk_ln = true;
        config.attn_config.alibi_bias_max = 4.;
        config.logit_scale = Some(LogitScale::Number(1.5));
        config.no_bias = false;
    });
    let learned = mosaic(|config| {
        config.alibi = false;
        config.attn_qk_ln = false;
        config.logit_scale = Some(LogitScale::Named("inv_sqrt_d_model".into()));
    });
    let third = |head: i32| (-8. * f64::from(head) / 3.).exp2();
    [
        Facts { slopes: [0.0625, 0.003_906_25, 0.25], ..bare(mpt(|_| ()), 2 * 6 + 2, MPT) },
        Facts {
            slopes: [0.25, 0.0625, 0.5],
            qk_norm: true,
            clip: 0.4,
            scale: 0.7,
            logit_scale: 1.5,
            ..bare(every, 2 * 16 + 3, MPT)
        },
        Facts {
            slopes: [third(1), third(2), third(3)],
            qk_norm: true,
            ..bare(mosaic(|_| ()), 2 * 8 + 2, MOSAIC)
        },
        Facts { learned: true, logit_scale: 1. / 12f64.sqrt(), ..bare(learned, 2 * 6 + 3, MOSAIC) },
    ]
}

#[test]
fn gradients_cache_and_padding_hold() -> Result<()> {
    for Facts { config, n_tensors, .. } in variants() {
        holds(&config, n_tensors)?;
    }
    Ok(())
}

#[test]
fn blocks_agree_with_hugging_faces_mpt_in_openflamingo() -> crate::Result<()> {
    agrees_with_the_recorded_case("mpt_x1")
}

fn derived(facts: &Facts, weights: &Weights, ids: &[u32]) -> Rows {
    let [first_norm, second_norm, last_norm, up, down] = facts.names;
    let embedding = weights.matrix("transformer.wte.weight");
    let mut xs: Rows = ids.iter().map(|&id| embedding[id as usize].clone()).collect();
    if facts.learned {
        xs = add(&xs, &weights.matrix("transformer.wpe.weight")[..ids.len()].to_vec());
    }
    for layer in 0..2 {
        let name = |name: &str| format!("transformer.blocks.{layer}.{name}");
        let normed = weights.layer_norm(&name(first_norm), &xs);
        let packed = weights.linear(&name("attn.Wqkv"), &normed);
        let packed = map(&packed, |v| v.max(-facts.clip).min(facts.clip));
        let [mut q, mut k, v] = [0, 1, 2].map(|i| columns(&packed, 12 * i, 12));
        if facts.qk_norm {
            q = weights.layer_norm(&name("attn.q_ln"), &q);
            k = weights.layer_norm(&name("attn.k_ln"), &k);
        }
        let bias = |head: usize, distance: usize| -facts.slopes[head] * distance as f64;
        let seen = attention([&q, &k, &v], 4, facts.scale, bias);
        xs = add(&xs, &weights.linear(&name("attn.out_proj"), &seen));
        let normed = weights.layer_norm(&name(second_norm), &xs);
        let hidden = map(&weights.linear(&name(up), &normed), gelu);
        xs = add(&xs, &weights.linear(&name(down), &hidden));
    }
    let normed = weights.layer_norm(&format!("transformer.{last_norm}"), &xs);
    map(&weights.linear("transformer.wte", &normed), |logit| logit * facts.logit_scale)
}

#[test]
fn logits_equal_a_derivation_in_plain_loops() -> Result<()> {
    for facts in variants() {
        plain::equals(&facts.config, |weights, ids| derived(&facts, weights, ids))?;
    }
    Ok(())
}

#[test]
fn the_factor_of_the_logits_reaches_special_rows() -> Result<()> {
    use candle_core::{DType, Device};
    use nn::weights::Variables;
    let config = mpt(|config| config.logit_scale = Some(LogitScale::Number(2.)));
    let (lm, _) = crate::testing::model(&config)?;
    let (plain, _) = crate::testing::model(&mpt(|_| ()))?;
    let xs = lm.embed(&Tensor::new(&[[1u32, 2]], &Device::Cpu)?)?;
    let rows = crate::ExtraRows::new(10, 2, &*lm, Variables::default().builder(1, DType::F64))?;
    let doubled = rows.head(&*lm, &lm.norm(&xs)?)?;
    let single = rows.head(&*plain, &plain.norm(&xs)?)?;
    assert_eq!(doubled.dims(), [1, 2, 12]);
    assert!(crate::testing::gap(&doubled, &(single * 2.)?)? < 1e-12);
    Ok(())
}

#[test]
fn numbers_out_of_all_proportion_are_refused_with_what_was_expected() {
    let problem = |edit: &dyn Fn(&mut MptConfig)| mpt(edit).problem().unwrap_or_default();
    assert_eq!(problem(&|_| ()), "");
    let layers = problem(&|c| c.n_layers = 99_999_999);
    assert_eq!(layers, "n_layers is 99999999, expected 1 to 1000");
    assert!(problem(&|c| c.max_seq_len = 1 << 25).contains("max_seq_len is 33554432"));
    assert!(problem(&|c| c.d_model = 0).contains("d_model is 0"));
    assert!(problem(&|c| c.vocab_size = 0).contains("vocab_size is 0"));
    assert!(problem(&|c| c.expansion_ratio = -1.).contains("d_model × expansion_ratio is 0"));
    assert!(problem(&|c| c.expansion_ratio = 1e9).contains("expansion_ratio is 12000000000"));
    assert!(problem(&|c| c.layer_norm_epsilon = -1.).contains("layer_norm_epsilon is -1"));
    assert_eq!(mosaic(|_| ()).problem(), None);
    let none = mosaic(|c| c.max_seq_len = 0).problem();
    assert_eq!(none.as_deref(), Some("max_seq_len is 0, expected 1 to 16777216"));
}

fn problem_of(edit: impl Fn(&mut MptConfig)) -> Option<String> {
    mpt(edit).problem()
}

#[test]
fn what_is_not_supported_is_named() {
    let named = |problem: Option<String>, expected: &str| {
        let problem = problem.unwrap();
        assert!(problem.contains(expected), "{problem}");
    };
    assert_eq!(problem_of(|c| c.attn_config.prefix_lm = Some(false)), None);
    named(problem_of(|c| c.attn_config.prefix_lm = Some(true)), "attn_config.prefix_lm is true");
    named(problem_of(|c| c.attn_config.rope = Some(true)), "attn_config.rope is true");
    named(
        problem_of(|c| c.attn_config.attn_type = "multiquery_attention".into()),
        "found attn_type",
    );
    named(problem_of(|c| c.norm_type = "rmsnorm".into()), "found norm_type `rmsnorm`");
    named(problem_of(|c| c.n_heads = 5), "d_model 12 does not split into 5 heads");
    let scale = LogitScale::Named("sqrt".into());
    named(problem_of(|c| c.logit_scale = Some(scale.clone())), "found logit_scale `sqrt`");
    let mosaic = MosaicGptConfig { prefix_lm: Some(true), ..MosaicGptConfig::tiny(10) };
    named(mosaic.problem(), "prefix_lm is true");
}

#[test]
fn a_missing_root_is_put_and_a_doubled_one_dropped() {
    let config = MosaicGptConfig::tiny(10);
    for (name, expected) in [
        ("transformer.blocks.0.ln_1.weight", Some("transformer.blocks.0.ln_1.weight")),
        ("transformer.transformer.wte.weight", Some("transformer.wte.weight")),
        ("blocks.1.mlp.mlp_up.weight", Some("transformer.blocks.1.mlp.mlp_up.weight")),
        ("lm_head.weight", Some("lm_head.weight")),
    ] {
        assert_eq!(config.rename(name).as_deref(), expected, "{name}");
    }
}

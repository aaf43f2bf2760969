//! What the configs of both dialects come down to.

use super::{LogitScale, MosaicGptConfig, MptConfig};

/// What a dialect calls the parts of a block.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) norms: [&'static str; 2],
    pub(super) final_norm: &'static str,
    pub(super) mlp: &'static str,
    pub(super) up: &'static str,
    pub(super) down: &'static str,
}

/// A model of either dialect.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) names: &'static Names,
    pub(super) dim: usize,
    pub(super) hidden_dim: usize,
    pub(super) n_heads: usize,
    pub(super) n_blocks: usize,
    pub(super) n_positions: usize,
    pub(super) vocab_size: usize,
    /// Slopes of ALiBi, one a head.
    pub(super) slopes: Option<Vec<f64>>,
    pub(super) learned_positions: bool,
    pub(super) qk_norm: bool,
    pub(super) clip_qkv: Option<f64>,
    pub(super) scale: f64,
    pub(super) bias: bool,
    pub(super) eps: f64,
    pub(super) logit_scale: Option<f64>,
    pub(super) tied: bool,
}

impl From<&MptConfig> for Plan {
    fn from(config: &MptConfig) -> Self {
        let attention = &config.attn_config;
        let (dim, n_heads) = (config.d_model, config.n_heads);
        let slopes = || strided_slopes(n_heads, attention.alibi_bias_max);
        Self {
            names: &Names {
                norms: ["norm_1", "norm_2"],
                final_norm: "norm_f",
                mlp: "ffn",
                up: "up_proj",
                down: "down_proj",
            },
            dim,
            hidden_dim: (dim as f64 * config.expansion_ratio) as usize,
            n_heads,
            n_blocks: config.n_layers,
            n_positions: config.max_seq_len,
            vocab_size: config.vocab_size,
            slopes: attention.alibi.then(slopes),
            learned_positions: !attention.alibi && config.learned_pos_emb,
            qk_norm: attention.qk_ln,
            clip_qkv: bound(attention.clip_qkv),
            scale: scale(attention.softmax_scale, dim / n_heads),
            bias: !config.no_bias,
            eps: config.layer_norm_epsilon,
            logit_scale: factor(config.logit_scale.as_ref(), dim),
            tied: config.tie_word_embeddings,
        }
    }
}

impl From<&MosaicGptConfig> for Plan {
    fn from(config: &MosaicGptConfig) -> Self {
        let (dim, n_heads) = (config.d_model, config.n_heads);
        Self {
            names: &Names {
                norms: ["ln_1", "ln_2"],
                final_norm: "ln_f",
                mlp: "mlp",
                up: "mlp_up",
                down: "mlp_down",
            },
            dim,
            hidden_dim: (dim as f64 * config.mlp_ratio) as usize,
            n_heads,
            n_blocks: config.n_layers,
            n_positions: config.max_seq_len,
            vocab_size: config.vocab_size,
            slopes: config.alibi.then(|| slopes(n_heads, config.alibi_bias_max)),
            learned_positions: !config.alibi,
            qk_norm: config.attn_qk_ln,
            clip_qkv: bound(config.attn_clip_qkv),
            scale: scale(config.softmax_scale, dim / n_heads),
            bias: !config.no_bias,
            eps: 1e-5,
            logit_scale: factor(config.logit_scale.as_ref(), dim),
            tied: true,
        }
    }
}

/// Slopes `2^(−bias_max · h / n_heads)` for heads `h` from 1 on (Press et al. 2022), which MosaicGPT
/// takes for any number of heads.
fn slopes(n_heads: usize, bias_max: f64) -> Vec<f64> {
    (1..=n_heads).map(|head| (-bias_max * head as f64 / n_heads as f64).exp2()).collect()
}

/// MPT's: where the number of heads is no power of two, those of the next power, every other one from
/// the second on before every other one from the first on.
fn strided_slopes(n_heads: usize, bias_max: f64) -> Vec<f64> {
    let all = slopes(n_heads.next_power_of_two(), bias_max);
    if all.len() == n_heads {
        return all;
    }
    let strided = all.iter().skip(1).step_by(2).chain(all.iter().step_by(2));
    strided.copied().take(n_heads).collect()
}

/// What scores are multiplied with.
fn scale(given: Option<f64>, head_dim: usize) -> f64 {
    given.unwrap_or_else(|| (head_dim as f64).powf(-0.5))
}

/// A bound of zero means none, as in the models' own classes.
fn bound(clip: Option<f64>) -> Option<f64> {
    clip.filter(|&clip| clip != 0.)
}

fn factor(scale: Option<&LogitScale>, dim: usize) -> Option<f64> {
    scale.map(|scale| match scale {
        LogitScale::Number(number) => *number,
        LogitScale::Named(_) => (dim as f64).powf(-0.5),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_halve_from_head_to_head_and_a_gap_in_the_powers_is_strided() {
        assert_eq!(strided_slopes(4, 8.), vec![0.25, 0.0625, 0.015_625, 0.003_906_25]);
        assert_eq!(slopes(4, 8.), strided_slopes(4, 8.));
        // llm-foundry's gen_slopes(6): of the eight slopes 1/2 … 1/256
        let expected = [2, 4, 6, 8, 1, 3].map(|n| 0.5f64.powi(n));
        assert_eq!(strided_slopes(6, 8.), expected);
        // MosaicGPT's alibi_bias(3)
        let expected = [1., 2., 3.].map(|n: f64| (-8. * n / 3.).exp2());
        assert_eq!(slopes(3, 8.), expected);
    }
}

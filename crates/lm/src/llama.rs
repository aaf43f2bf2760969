//! LLaMA (Touvron et al. 2023): RMS norms, rotary positions, grouped queries, gated SiLU.
//!
//! ```text
//! ids ─ embed ─ [norm ─ attention ─ +  norm ─ SwiGLU ─ +] × n_blocks ─ norm ─ head ─ logits
//! ```
//! Tensor names and the half-split rotary pairs are those of Hugging Face's `LlamaForCausalLM`.

use candle_core::{D, Module, Result, Tensor};
use candle_nn::Init;
use nn::Builder;
use nn::{Linear, Matrix, RmsNorm, Rotary, attention, merge_heads, silu, split_heads};
use serde::{Deserialize, Serialize};

use crate::{Cache, CausalLm, Step};

/// The fields of Hugging Face's `config.json` that shape the model; others are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LlamaConfig {
    /// Width of a token.
    pub hidden_size: usize,
    /// Hidden width of the feed-forward.
    pub intermediate_size: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; absent: as many as query heads.
    #[serde(default)]
    pub num_key_value_heads: Option<usize>,
    /// Added to the mean square in every norm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    #[serde(default = "rope_theta")]
    pub rope_theta: f64,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Whether the head is the embedding.
    #[serde(default)]
    pub tie_word_embeddings: bool,
}

/// The value that Hugging Face's class assumes where a file does not say.
fn rope_theta() -> f64 {
    10_000.
}

impl LlamaConfig {
    /// The smallest useful model, for tests: two blocks, two key heads for four query heads.
    pub fn tiny(vocab_size: usize) -> Self {
        Self {
            hidden_size: 16,
            intermediate_size: 24,
            vocab_size,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: Some(2),
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.,
            max_position_embeddings: 64,
            tie_word_embeddings: true,
        }
    }

    fn n_kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// What is wrong with the numbers, in one sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self { hidden_size, num_attention_heads: heads, .. } = *self;
        let kv = self.n_kv_heads();
        if heads == 0 || hidden_size % heads != 0 || (hidden_size / heads) % 2 != 0 {
            return Some(format!(
                "hidden_size {hidden_size} does not split into {heads} heads of even width"
            ));
        }
        if kv == 0 || heads % kv != 0 {
            return Some(format!("{heads} query heads cannot share {kv} key-value heads"));
        }
        (self.num_hidden_layers == 0 || self.vocab_size == 0)
            .then(|| "a model needs at least one layer and one token".to_owned())
    }
}

/// A LLaMA-architecture language model. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Llama {
    embedding: Matrix,
    blocks: Vec<Block>,
    norm: RmsNorm,
    head: Linear,
    config: LlamaConfig,
}

impl Llama {
    /// Reads `model.embed_tokens`, `model.layers.N`, `model.norm` and, when untied, `lm_head`.
    pub fn new(config: &LlamaConfig, vb: Builder) -> Result<Self> {
        let dim = config.hidden_size;
        let model = vb.pp("model");
        let embedding = model.pp("embed_tokens").matrix(
            (config.vocab_size, dim),
            "weight",
            Init::Randn { mean: 0., stdev: 0.02 },
        )?;
        let rotary = Rotary::new(
            dim / config.num_attention_heads,
            config.rope_theta,
            config.max_position_embeddings,
        );
        let head = if config.tie_word_embeddings {
            Linear::tied(embedding.clone())
        } else {
            Linear::new(dim, config.vocab_size, vb.pp("lm_head"))?
        };
        Ok(Self {
            embedding,
            blocks: (0..config.num_hidden_layers)
                .map(|idx| Block::new(config, &rotary, model.pp("layers").pp(idx)))
                .collect::<Result<_>>()?,
            norm: RmsNorm::new(dim, config.rms_norm_eps, model.pp("norm"))?,
            head,
            config: config.clone(),
        })
    }
}

impl CausalLm for Llama {
    fn dim(&self) -> usize {
        self.config.hidden_size
    }

    fn n_blocks(&self) -> usize {
        self.blocks.len()
    }

    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn n_positions(&self) -> usize {
        self.config.max_position_embeddings
    }

    fn blocks_name(&self) -> &'static str {
        "model.layers"
    }

    fn embedding_name(&self) -> &'static str {
        "model.embed_tokens"
    }

    fn tied(&self) -> bool {
        self.config.tie_word_embeddings
    }

    fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        let (batch, n_tokens) = ids.dims2()?;
        let tokens = self.embedding.rows(&ids.flatten_all()?)?;
        tokens.reshape((batch, n_tokens, self.dim()))
    }

    fn block(
        &self,
        idx: usize,
        xs: &Tensor,
        step: &Step,
        cache: Option<&mut Cache>,
    ) -> Result<Tensor> {
        self.blocks[idx].forward(xs, step, cache.map(|cache| (idx, cache)))
    }

    fn norm(&self, xs: &Tensor) -> Result<Tensor> {
        xs.apply(&self.norm)
    }

    fn head(&self, xs: &Tensor) -> Result<Tensor> {
        xs.apply(&self.head)
    }
}

#[derive(Clone, Debug)]
struct Block {
    attention_norm: RmsNorm,
    attention: SelfAttention,
    feed_forward_norm: RmsNorm,
    feed_forward: SwiGlu,
}

impl Block {
    fn new(config: &LlamaConfig, rotary: &Rotary, vb: Builder) -> Result<Self> {
        let norm = |name| RmsNorm::new(config.hidden_size, config.rms_norm_eps, vb.pp(name));
        Ok(Self {
            attention_norm: norm("input_layernorm")?,
            attention: SelfAttention::new(config, rotary, vb.pp("self_attn"))?,
            feed_forward_norm: norm("post_attention_layernorm")?,
            feed_forward: SwiGlu::new(config, vb.pp("mlp"))?,
        })
    }

    fn forward(
        &self,
        xs: &Tensor,
        step: &Step,
        cache: Option<(usize, &mut Cache)>,
    ) -> Result<Tensor> {
        let xs = (xs + self.attention.forward(&xs.apply(&self.attention_norm)?, step, cache)?)?;
        &xs + xs.apply(&self.feed_forward_norm)?.apply(&self.feed_forward)?
    }
}

#[derive(Clone, Debug)]
struct SelfAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    rotary: Rotary,
    n_heads: usize,
    n_kv_heads: usize,
}

impl SelfAttention {
    fn new(config: &LlamaConfig, rotary: &Rotary, vb: Builder) -> Result<Self> {
        let dim = config.hidden_size;
        let kv_dim = dim / config.num_attention_heads * config.n_kv_heads();
        Ok(Self {
            q_proj: Linear::new(dim, dim, vb.pp("q_proj"))?,
            k_proj: Linear::new(dim, kv_dim, vb.pp("k_proj"))?,
            v_proj: Linear::new(dim, kv_dim, vb.pp("v_proj"))?,
            o_proj: Linear::new(dim, dim, vb.pp("o_proj"))?,
            rotary: rotary.clone(),
            n_heads: config.num_attention_heads,
            n_kv_heads: config.n_kv_heads(),
        })
    }

    fn forward(
        &self,
        xs: &Tensor,
        step: &Step,
        cache: Option<(usize, &mut Cache)>,
    ) -> Result<Tensor> {
        let q = split_heads(&xs.apply(&self.q_proj)?, self.n_heads)?;
        let k = split_heads(&xs.apply(&self.k_proj)?, self.n_kv_heads)?;
        let v = split_heads(&xs.apply(&self.v_proj)?, self.n_kv_heads)?;
        let q = self.rotary.forward(&q, &step.positions)?;
        let k = self.rotary.forward(&k, &step.positions)?;
        let (k, v) = match cache {
            Some((idx, cache)) => cache.extend(idx, &k, &v)?,
            None => (k, v),
        };
        let (k, v) = (self.share(&k)?, self.share(&v)?);
        let scale = (q.dim(D::Minus1)? as f64).powf(-0.5);
        merge_heads(&attention(&q, &k, &v, scale, Some(&step.mask))?)?.apply(&self.o_proj)
    }

    /// Repeats each key-value head for the query heads that share it.
    fn share(&self, xs: &Tensor) -> Result<Tensor> {
        let group = self.n_heads / self.n_kv_heads;
        if group == 1 {
            return Ok(xs.clone());
        }
        let (batch, n_kv_heads, n_tokens, head_dim) = xs.dims4()?;
        xs.unsqueeze(2)?.broadcast_as((batch, n_kv_heads, group, n_tokens, head_dim))?.reshape((
            batch,
            n_kv_heads * group,
            n_tokens,
            head_dim,
        ))
    }
}

/// `down(silu(gate(x)) · up(x))` (Shazeer 2020).
#[derive(Clone, Debug)]
struct SwiGlu {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl SwiGlu {
    fn new(config: &LlamaConfig, vb: Builder) -> Result<Self> {
        let (dim, hidden) = (config.hidden_size, config.intermediate_size);
        Ok(Self {
            gate_proj: Linear::new(dim, hidden, vb.pp("gate_proj"))?,
            up_proj: Linear::new(dim, hidden, vb.pp("up_proj"))?,
            down_proj: Linear::new(hidden, dim, vb.pp("down_proj"))?,
        })
    }
}

impl Module for SwiGlu {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        (silu(&xs.apply(&self.gate_proj)?)? * xs.apply(&self.up_proj)?)?.apply(&self.down_proj)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use nn::gradcheck::check;
    use nn::weights::Variables;

    const IDS: [[u32; 5]; 2] = [[1, 7, 3, 3, 9], [4, 0, 2, 8, 5]];

    fn model(dtype: DType) -> Result<(Llama, Variables)> {
        let variables = Variables::default();
        Ok((Llama::new(&LlamaConfig::tiny(10), variables.builder(5, dtype))?, variables))
    }

    fn gap(a: &Tensor, b: &Tensor) -> Result<f64> {
        (a - b)?.abs()?.max_all()?.to_dtype(DType::F64)?.to_scalar()
    }

    #[test]
    fn logits_equal_candle_transformers_llama() -> Result<()> {
        use candle_nn::VarBuilder;
        use candle_transformers::models::llama;
        let (ours, variables) = model(DType::F32)?;
        let theirs = llama::Config {
            hidden_size: 16,
            intermediate_size: 24,
            vocab_size: 10,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            use_flash_attn: false,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.,
            bos_token_id: None,
            eos_token_id: None,
            rope_scaling: None,
            max_position_embeddings: 64,
            tie_word_embeddings: true,
        };
        let vb = VarBuilder::from_tensors(variables.tensors(), DType::F32, &Device::Cpu);
        let model = llama::Llama::load(vb, &theirs)?;
        let ids = Tensor::new(&IDS, &Device::Cpu)?;
        let logits = ours.logits(&ids, &Step::plain(2, 5)?)?;
        for n in 1..=5 {
            let mut cache = llama::Cache::new(false, DType::F32, &theirs, &Device::Cpu)?;
            let expected = model.forward(&ids.narrow(1, 0, n)?.contiguous()?, 0, &mut cache)?;
            let error = gap(&logits.narrow(1, n - 1, 1)?.squeeze(1)?, &expected)?;
            assert!(error < 1e-5, "{error}");
        }
        Ok(())
    }

    #[test]
    fn gradients_match_finite_differences() -> Result<()> {
        let (lm, variables) = model(DType::F64)?;
        let named = variables.all();
        let vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
        assert_eq!(vars.len(), 2 * 9 + 2);
        let ids = Tensor::new(&IDS, &Device::Cpu)?;
        let step = Step::plain(2, 5)?;
        check(&vars, || {
            let logits = lm.logits(&ids, &step)?.flatten_to(1)?;
            nn::cross_entropy(&logits, vec![7, 3, 3, 9, 1, 0, 2, 8, 5, 6])?.mean_all()
        })
    }

    #[test]
    fn cached_decoding_equals_the_full_forward() -> Result<()> {
        let (lm, _) = model(DType::F64)?;
        let ids = Tensor::new(&IDS, &Device::Cpu)?;
        let full = lm.logits(&ids, &Step::plain(2, 5)?)?;
        let mut cache = Cache::new(lm.n_blocks());
        let mut from = 0;
        for n in [2usize, 1, 2] {
            let mut xs = lm.embed(&ids.narrow(1, from, n)?)?;
            let step = Step::new(&vec![vec![true; from + n]; 2], n)?;
            for idx in 0..lm.n_blocks() {
                xs = lm.block(idx, &xs, &step, Some(&mut cache))?;
            }
            let logits = lm.head(&lm.norm(&xs)?)?;
            assert!(gap(&logits, &full.narrow(1, from, n)?)? < 1e-12);
            from += n;
        }
        Ok(())
    }

    #[test]
    fn padding_on_either_side_leaves_the_real_tokens_alone() -> Result<()> {
        let (lm, _) = model(DType::F64)?;
        let row = Tensor::new(&[[4u32, 0, 2]], &Device::Cpu)?;
        let alone = lm.logits(&row, &Step::plain(1, 3)?)?;
        for (padded, real, at) in [
            ([[9u32, 9, 4, 0, 2]], vec![false, false, true, true, true], 2),
            ([[4, 0, 2, 9, 9]], vec![true, true, true, false, false], 0),
        ] {
            let ids = Tensor::new(&padded, &Device::Cpu)?;
            let logits = lm.logits(&ids, &Step::new(&[real], 5)?)?;
            assert!(gap(&logits.narrow(1, at, 3)?, &alone)? < 1e-12);
        }
        Ok(())
    }
}

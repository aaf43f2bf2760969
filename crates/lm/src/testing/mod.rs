//! What holds for every family, and the arithmetic that the families' tests derive anew.

pub(crate) mod plain;
mod recorded;
mod saved;

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};
use nn::Ops;
use nn::gradcheck::check;
use nn::weights::{Frozen, LoraConfig, Variables, seeded};

pub(crate) use self::recorded::agrees_with_the_recorded_case;
use crate::{Cache, CausalLm, LmConfig, Step};

pub(crate) const IDS: [[u32; 5]; 2] = [[1, 7, 3, 3, 9], [4, 0, 2, 8, 5]];

/// Largest difference of two tensors.
pub(crate) fn gap(a: &Tensor, b: &Tensor) -> Result<f64> {
    (a - b)?.abs()?.max_all()?.to_dtype(DType::F64)?.to_scalar()
}

/// A model in `f64` whose every weight, norms and biases too, is random.
pub(crate) fn model(config: &LmConfig) -> Result<(Box<dyn CausalLm>, Variables)> {
    model_on(config, &nn::Device::cpu())
}

fn model_on(config: &LmConfig, device: &nn::Device) -> Result<(Box<dyn CausalLm>, Variables)> {
    let variables = Variables::on(device);
    let lm = config.build(variables.builder(5, DType::F64))?;
    for (name, var) in variables.all() {
        let values = seeded::normal(9, &name, var.elem_count(), 0.1, 0.5);
        var.set(&Tensor::from_vec(values, var.shape(), var.device())?)?;
    }
    Ok((lm, variables))
}

/// Gradients of all `n_tensors`, cached decoding, and padding, by both kinds of operations.
pub(crate) fn holds(config: &LmConfig, n_tensors: usize) -> Result<()> {
    for_both(|device| {
        let (lm, variables) = model_on(config, device)?;
        assert_eq!(variables.all().len(), n_tensors);
        gradients_match_finite_differences(device.ops(), &*lm, &variables)?;
        corrections_begin_at_zero_and_have_the_gradients_of_finite_differences(config, &variables)?;
        cached_decoding_equals_the_full_forward(&*lm)?;
        padding_on_either_side_leaves_the_real_tokens_alone(&*lm)
    })
}

/// Runs `f` on the CPU by our kernels, and by candle's operations, which must use none of them.
pub(crate) fn for_both<E>(
    f: impl Fn(&nn::Device) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    f(&nn::Device::cpu())?;
    let before = nn::kernel_calls();
    f(&nn::Device::cpu_composed())?;
    assert_eq!(nn::kernel_calls(), before, "a composed pass used our kernels");
    Ok(())
}

fn gradients_match_finite_differences(
    ops: Ops,
    lm: &dyn CausalLm,
    variables: &Variables,
) -> Result<()> {
    let named = variables.all();
    let vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
    check(&vars, || loss(ops, lm))
}

fn loss(ops: Ops, lm: &dyn CausalLm) -> Result<Tensor> {
    let logits = logits(lm)?.flatten_to(1)?;
    nn::cross_entropy(ops, &logits, vec![7, 3, 3, 9, 1, 0, 2, 8, 5, 6])?.mean_all()
}

fn logits(lm: &dyn CausalLm) -> Result<Tensor> {
    lm.logits(&Tensor::new(&IDS, &Device::Cpu)?, &Step::plain(2, 5)?)
}

/// Of rank 2 beside every linear layer, the weights themselves frozen.
fn corrections_begin_at_zero_and_have_the_gradients_of_finite_differences(
    config: &LmConfig,
    weights: &Variables,
) -> Result<()> {
    let device = weights.device();
    let (frozen, moving) = (weights.tensors(), Variables::on(device));
    let file = Frozen::from_tensors(Path::new("frozen"), frozen.clone());
    let lora = LoraConfig { rank: 2, alpha: 3., use_rslora: true, target_modules: None };
    let beside = lora.beside(file.clone(), moving.drawn(1), |_| true);
    let lm = config.build(beside.builder(DType::F64).on(device))?;
    let plain = config.build(file.builder(DType::F64).on(device))?;
    assert_eq!(gap(&logits(&*lm)?, &logits(&*plain)?)?, 0.);
    let named = moving.all();
    assert_eq!(named.len(), 2 * config.linear_layers().map_err(candle_core::Error::wrap)?.len());
    for (name, var) in &named {
        let values = seeded::normal(9, name, var.elem_count(), 0., 0.3);
        var.set(&Tensor::from_vec(values, var.shape(), var.device())?)?;
    }
    assert!(gap(&logits(&*lm)?, &logits(&*plain)?)? > 1e-3);
    let grads = loss(device.ops(), &*lm)?.backward()?;
    assert!(frozen.values().all(|tensor| grads.get(tensor).is_none()));
    let vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
    check(&vars, || loss(device.ops(), &*lm))
}

fn cached_decoding_equals_the_full_forward(lm: &dyn CausalLm) -> Result<()> {
    // the first row is padded on the left
    let real = [vec![false, true, true, true, true], vec![true; 5]];
    let ids = Tensor::new(&IDS, &Device::Cpu)?;
    let full = lm.logits(&ids, &Step::new(&real, 5)?)?;
    let mut cache = Cache::new(lm.shape().n_blocks);
    let mut from = 0;
    for n in [2usize, 1, 2] {
        let so_far = real.each_ref().map(|row| row[..from + n].to_vec());
        let step = Step::new(&so_far, n)?;
        let mut xs = lm.enter(lm.embed(&ids.narrow(1, from, n)?)?, &step)?;
        for idx in 0..lm.shape().n_blocks {
            xs = lm.block(idx, &xs, &step, Some(&mut cache))?;
        }
        let logits = lm.head(&lm.norm(&xs)?)?;
        for row in 0..2 {
            let skip = usize::from(row == 0 && from == 0);
            let part = |xs: &Tensor, at| xs.get(row)?.narrow(0, at, n - skip);
            let gap = gap(&part(&logits, skip)?, &part(&full, from + skip)?)?;
            assert!(gap < 1e-12, "tokens from {from} on: {gap}");
        }
        from += n;
    }
    Ok(())
}

fn padding_on_either_side_leaves_the_real_tokens_alone(lm: &dyn CausalLm) -> Result<()> {
    let row = Tensor::new(&[[4u32, 0, 2]], &Device::Cpu)?;
    let alone = lm.logits(&row, &Step::plain(1, 3)?)?;
    for (padded, real, at) in [
        ([[9u32, 9, 4, 0, 2]], vec![false, false, true, true, true], 2),
        ([[4, 0, 2, 9, 9]], vec![true, true, true, false, false], 0),
    ] {
        let ids = Tensor::new(&padded, &Device::Cpu)?;
        let logits = lm.logits(&ids, &Step::new(&[real], 5)?)?;
        let gap = gap(&logits.narrow(1, at, 3)?, &alone)?;
        assert!(gap < 1e-12, "real tokens from {at} on: {gap}");
    }
    Ok(())
}

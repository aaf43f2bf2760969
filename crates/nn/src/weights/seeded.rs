//! Initial values that depend on a seed and a tensor's name alone.
//!
//! Adding a layer therefore never moves another layer's weights, and tests need no weight files.

use candle_core::{Result, bail};
use candle_nn::Init;
use rand::SeedableRng;
use rand::distr::Distribution;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Normal, Uniform};

/// A stream of random numbers for one name under one seed.
pub fn rng(seed: u64, name: &str) -> ChaCha8Rng {
    // FNV-1a over the seed's and the name's bytes: short, stable, and the same on every platform
    let bytes = seed.to_le_bytes().into_iter().chain(name.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    ChaCha8Rng::seed_from_u64(hash)
}

/// `n` draws from a normal distribution.
pub fn normal(seed: u64, name: &str, n: usize, mean: f64, std: f64) -> Vec<f64> {
    let normal = Normal::new(mean, std).expect("a finite spread");
    normal.sample_iter(rng(seed, name)).take(n).collect()
}

/// `n` draws as `init` asks.
pub fn initial(seed: u64, name: &str, n: usize, init: Init) -> Result<Vec<f64>> {
    Ok(match init {
        Init::Const(value) => vec![value; n],
        Init::Randn { mean, stdev } => normal(seed, name, n, mean, stdev),
        Init::Uniform { lo, up } => {
            let uniform = Uniform::new(lo, up).expect("ordered bounds");
            uniform.sample_iter(rng(seed, name)).take(n).collect()
        }
        Init::Kaiming { .. } => bail!("{name}: Kaiming initial values are not used here"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_depend_on_seed_and_name_alone() {
        assert_eq!(normal(1, "a.weight", 4, 0., 1.), normal(1, "a.weight", 4, 0., 1.));
        assert_ne!(normal(1, "a.weight", 4, 0., 1.), normal(2, "a.weight", 4, 0., 1.));
        assert_ne!(normal(1, "a.weight", 4, 0., 1.), normal(1, "b.weight", 4, 0., 1.));
    }

    #[test]
    fn draws_have_the_asked_spread() {
        let draws = initial(3, "w", 20_000, Init::Uniform { lo: -0.5, up: 0.5 }).unwrap();
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / 20_000.;
        assert!((variance - 1. / 12.).abs() < 2e-3, "{variance}");
        let draws = normal(3, "w", 20_000, 0., 2.);
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / 20_000.;
        assert!((variance - 4.).abs() < 0.15, "{variance}");
    }
}

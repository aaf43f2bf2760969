//! From batches of scans to tokens: what is the same for every encoder.

use candle_core::{DType, Result, Tensor, bail};

use crate::{BrainEncoder, EncoderInput, Tokens};

/// Encodes the windows that are there, and takes the tokens that the encoder's policy names.
pub(crate) fn encode<E: BrainEncoder + ?Sized>(
    encoder: &E,
    input: &EncoderInput,
) -> Result<Tokens> {
    let spec = encoder.spec();
    let coordinates = input.coordinates.as_ref();
    encode_real(input, (spec.n_tokens(), spec.vis_dim), |windows| {
        let all = encoder.windows(windows, coordinates)?;
        spec.layout.pick(spec.tokens, &all)
    })
}

/// Shows `encode` the windows or frames that are there, `(n, …)`, and puts their tokens
/// `(n, n_tokens, vis_dim)` where they belong; of those that are not there they are zero.
pub(crate) fn encode_real(
    input: &EncoderInput,
    (n_tokens, vis_dim): (usize, usize),
    encode: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tokens> {
    let dims = input.values.dims();
    let &[batch, n_media, n_windows, ref item @ ..] = dims else {
        bail!("media have shape {dims:?}, expected (batch, n_media, n_windows, …)")
    };
    let n = batch * n_media * n_windows;
    let windows = input.values.reshape([&[n], item].concat())?;
    let shape = (batch, n_media, n_windows, n_tokens, vis_dim);
    let Some(mask) = &input.mask else {
        return Ok(Tokens { values: encode(&windows)?.reshape(shape)?, mask: None });
    };
    let real = mask.to_dtype(DType::U8)?.flatten_all()?.to_vec1::<u8>()?;
    if real.len() != n {
        bail!("{} windows are marked real or not, expected {n}", real.len())
    }
    let present: Vec<u32> =
        (0u32..).zip(&real).filter_map(|(at, &real)| (real != 0).then_some(at)).collect();
    if present.is_empty() {
        bail!("no window of the batch is real")
    }
    let n_present = present.len();
    let present = Tensor::from_vec(present, n_present, windows.device())?;
    let tokens = encode(&windows.index_select(&present, 0)?.contiguous()?)?;
    // behind the last real window stands the one that all others are filled with
    let nothing = Tensor::zeros((1, n_tokens, vis_dim), tokens.dtype(), tokens.device())?;
    let mut next = 0..n_present as u32;
    let places: Vec<u32> = real
        .iter()
        .map(|&real| if real == 0 { n_present as u32 } else { next.next().expect("counted") })
        .collect();
    let places = Tensor::from_vec(places, n, windows.device())?;
    let values = Tensor::cat(&[&tokens, &nothing], 0)?.index_select(&places, 0)?.reshape(shape)?;
    let mask = mask.to_dtype(DType::U8)?.reshape((batch, n_media, n_windows, 1))?;
    let mask = mask.repeat((1, 1, 1, n_tokens))?;
    Ok(Tokens { values, mask: Some(mask) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        EncoderSpec, InputSpace, Licence, TokenLayout, TokenPolicy, WindowLength,
        tokens::{Places, TokenOrder},
    };
    use candle_core::Device;
    use nn::gradcheck::{check, sample};

    /// Each frame is a token; it must never be shown a window that is not there.
    struct Frames(EncoderSpec);

    impl BrainEncoder for Frames {
        fn spec(&self) -> &EncoderSpec {
            &self.0
        }

        fn windows(&self, windows: &Tensor, _: Option<&Tensor>) -> Result<Tensor> {
            assert!(windows.abs()?.sum((1, 2))?.to_vec1::<f64>()?.iter().all(|it| *it > 0.));
            windows.sqr()
        }
    }

    fn frames(tokens: TokenPolicy) -> Frames {
        Frames(EncoderSpec {
            name: "frames",
            id: "frames_v1".to_owned(),
            input: InputSpace::Voxels { n: 2 },
            window: WindowLength::Exactly(3),
            t_r: None,
            normalisations: Vec::new(),
            vis_dim: 2,
            layout: TokenLayout::grid(Places::Parcels, 1, 3, TokenOrder::PlaceMajor),
            tokens,
            licence: Licence::named("none"),
            short_scans: Vec::new(),
            drops_masked: false,
        })
    }

    fn two_scans() -> (Tensor, Tensor) {
        let values = Tensor::arange(1f64, 25., &Device::Cpu).unwrap();
        let values = values.reshape((2, 1, 2, 3, 2)).unwrap();
        let real = Tensor::from_slice(&[1u8, 1, 1, 0], (2, 1, 2), &Device::Cpu).unwrap();
        let there = real.to_dtype(DType::F64).unwrap().reshape((2, 1, 2, 1, 1)).unwrap();
        (values.broadcast_mul(&there).unwrap(), real)
    }

    #[test]
    fn scans_of_different_length_share_a_batch() -> Result<()> {
        let (values, mask) = two_scans();
        let encoder = frames(TokenPolicy::TimeMean);
        let input = EncoderInput::new(values.clone()).with_mask(mask);
        let tokens = encoder.encode(&input)?;
        assert_eq!(tokens.values.dims(), [2, 1, 2, 1, 2]);
        let mask = tokens.mask.unwrap();
        assert_eq!(mask.flatten_all()?.to_vec1::<u8>()?, [1, 1, 1, 0]);
        // the windows alone give the same
        let alone = encoder.encode(&EncoderInput::new(values.narrow(0, 0, 1)?))?;
        let first = tokens.values.narrow(0, 0, 1)?;
        assert_eq!(
            first.flatten_all()?.to_vec1::<f64>()?,
            alone.values.flatten_all()?.to_vec1::<f64>()?
        );
        let last = tokens.values.narrow(0, 1, 1)?.narrow(2, 1, 1)?;
        assert_eq!(last.flatten_all()?.to_vec1::<f64>()?, [0., 0.]);
        Ok(())
    }

    #[test]
    fn gradients_reach_the_windows_that_are_there() -> Result<()> {
        let scans = sample("scans", (2, 1, 2, 3, 2))?;
        let (_, mask) = two_scans();
        let encoder = frames(TokenPolicy::All);
        check(&[("scans", &scans)], || {
            let input = EncoderInput::new(scans.as_tensor().clone()).with_mask(mask.clone());
            encoder.encode(&input)?.values.sqr()?.sum_all()
        })
    }
}

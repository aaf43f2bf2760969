//! A frozen encoder for those who know no tensors: windows of a scan in, numbers out.

use candle_core::{DType, Tensor};
use nn::{Builder, Device, Precision};

use crate::{
    BrainEncoder, EncoderConfig, EncoderSpec, Error, InputShape, MediaEncoder, Result, TokenPolicy,
    places,
};

/// What an encoder makes of the windows of one scan.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowTokens {
    /// Windows of the scan.
    pub n_windows: usize,
    /// Tokens of a window that the policy takes.
    pub n_tokens: usize,
    /// Width of a token.
    pub dim: usize,
    /// `(n_windows, n_tokens, dim)`, row-major.
    pub values: Vec<f32>,
    /// Means over the tokens that saw data, `(n_windows, dim)`.
    pub means: Vec<f32>,
    /// Class tokens `(n_windows, dim)` of encoders that have one.
    pub classes: Option<Vec<f32>>,
}

impl WindowTokens {
    /// Adds the windows that follow; both must come from one encoder.
    pub fn append(&mut self, next: Self) {
        self.n_windows += next.n_windows;
        self.values.extend(next.values);
        self.means.extend(next.means);
        self.classes.iter_mut().zip(next.classes).for_each(|(all, more)| all.extend(more));
    }
}

/// An encoder whose weights stay as they are.
pub struct FrozenEncoder {
    encoder: Box<dyn BrainEncoder>,
    device: Device,
    input: InputShape,
    identity: String,
}

impl FrozenEncoder {
    /// Reads the encoder's weights, if it has any; from then on the process keeps the memory that one
    /// window frees for the next.
    ///
    /// # Errors
    /// Where windows of this size do not fit, or the weights are not the encoder's.
    pub fn open(config: &EncoderConfig, input: InputShape, device: &Device) -> Result<Self> {
        nn::keep_freed_memory();
        let name = config.spec(input)?.name;
        let failed = Error::inside(name);
        let weights = Builder::new(config.base(Precision::default())?, DType::F32).on(device);
        let built = config.build(input, weights).map_err(failed)?;
        let MediaEncoder::Brain(encoder) = built else {
            let reason = "reads pictures, not scans".to_owned();
            return Err(Error::Setting { encoder: name, reason });
        };
        Ok(Self { encoder, device: device.clone(), input, identity: config.identity()? })
    }

    /// What the encoder needs and gives.
    pub fn spec(&self) -> &EncoderSpec {
        self.encoder.spec()
    }

    /// Names the encoder by everything that decides its tokens: settings and the digest of its
    /// weights.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Encodes the windows of one scan, one after the other: `windows` is `(n_windows, …)` of the
    /// input's dimensions, row-major, `coordinates` where the parcels are, in mm.
    ///
    /// # Errors
    /// Names the first window whose tokens are not all finite.
    pub fn encode(
        &self,
        windows: &[f32],
        coordinates: Option<&[[f64; 3]]>,
    ) -> Result<WindowTokens> {
        self.encoded(windows, coordinates, None)
    }

    /// As [`Self::encode`], of one window whose first `n_real` frames are of the scan; the others are
    /// zeros that the encoder's mask hides.
    ///
    /// # Errors
    /// Where the encoder has no mask, or the policy would take fewer tokens than of whole windows.
    pub fn encode_short(
        &self,
        window: &[f32],
        coordinates: Option<&[[f64; 3]]>,
        n_real: usize,
    ) -> Result<WindowTokens> {
        self.encoded(window, coordinates, Some(n_real))
    }

    fn encoded(
        &self,
        windows: &[f32],
        coordinates: Option<&[[f64; 3]]>,
        n_real: Option<usize>,
    ) -> Result<WindowTokens> {
        let spec = self.spec();
        let dims = self.input.dims();
        let size: usize = dims.iter().product();
        let n_windows = windows.len() / size;
        let mut tokens = WindowTokens {
            n_windows,
            n_tokens: spec.n_tokens(),
            dim: spec.vis_dim,
            values: Vec::with_capacity(n_windows * spec.n_tokens() * spec.vis_dim),
            means: Vec::new(),
            classes: spec.layout.has_class.then(Vec::new),
        };
        let run = |window: &[f32]| -> candle_core::Result<([Option<Vec<f32>>; 3], bool)> {
            let shape = [&[1], dims.as_slice()].concat();
            let window = Tensor::from_slice(window, shape, self.device.place())?;
            let places = coordinates.map(|it| places(it, self.device.place())).transpose()?;
            let (all, layout) = match n_real {
                Some(n_real) => self.encoder.short_window(&window, places.as_ref(), n_real)?,
                None => (self.encoder.windows(&window, places.as_ref())?, spec.layout.clone()),
            };
            let numbers =
                |policy| layout.pick(policy, &all)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1();
            let class = spec.layout.has_class.then(|| numbers(TokenPolicy::Cls)).transpose()?;
            let numbers = [Some(numbers(spec.tokens)?), Some(numbers(TokenPolicy::Mean)?), class];
            Ok((numbers, layout == spec.layout))
        };
        for (at, window) in windows.chunks_exact(size).enumerate() {
            let ([values, mean, class], whole) = run(window).map_err(Error::inside(spec.name))?;
            if !whole && !spec.tokens.fits_short_windows() {
                return Err(spec.too_few_tokens(n_real.unwrap_or_default()));
            }
            let (values, mean) = (values.unwrap_or_default(), mean.unwrap_or_default());
            let finite = |numbers: &[f32]| numbers.iter().all(|x| x.is_finite());
            if !finite(&values) || !finite(&mean) || !class.as_deref().is_none_or(finite) {
                return Err(Error::NotFinite { encoder: spec.name, window: at + 1 });
            }
            tokens.values.extend(values);
            tokens.means.extend(mean);
            tokens.classes.iter_mut().zip(class).for_each(|(all, one)| all.extend(one));
        }
        Ok(tokens)
    }

    /// Bytes that one window needs at most, roughly: what it is made of and its tokens, four times.
    pub fn window_bytes(&self) -> u64 {
        let spec = self.spec();
        let n_values: usize = self.input.dims().iter().product();
        let n_tokens = spec.layout.n_all() * spec.vis_dim;
        (16 * (n_values + n_tokens)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConnectivityConfig, VoxelFramesConfig};

    const INPUT: InputShape = InputShape::Window { n_frames: 4, n_voxels: 3 };

    fn windows() -> Vec<f32> {
        (0..24).map(|at| ((at * at) % 7) as f32).collect()
    }

    #[test]
    fn windows_of_a_scan_are_encoded_alone() {
        let config = EncoderConfig::Connectivity(ConnectivityConfig::default());
        let encoder = FrozenEncoder::open(&config, INPUT, &nn::Device::cpu()).unwrap();
        let both = encoder.encode(&windows(), None).unwrap();
        assert_eq!((both.n_windows, both.n_tokens, both.dim), (2, 3, 3));
        let second = encoder.encode(&windows()[12..], None).unwrap();
        assert_eq!(both.values[9..], second.values[..]);
        let mean: f32 = second.values.iter().step_by(3).sum::<f32>() / 3.0;
        assert!((second.means[0] - mean).abs() < 1e-6 && second.classes.is_none());
    }

    #[test]
    fn tokens_that_are_no_numbers_are_refused() {
        let config = EncoderConfig::Connectivity(ConnectivityConfig::default());
        let encoder = FrozenEncoder::open(&config, INPUT, &nn::Device::cpu()).unwrap();
        let mut windows = windows();
        windows[15] = f32::NAN;
        let error = encoder.encode(&windows, None).unwrap_err().to_string();
        assert_eq!(error, "encoder `connectivity`: tokens of window 2 are not all finite numbers");
    }

    #[test]
    fn other_settings_are_another_encoder() {
        let identity = |dim| {
            EncoderConfig::VoxelFrames(VoxelFramesConfig { dim, n_groups: 2 }).identity().unwrap()
        };
        assert_eq!(identity(4), identity(4));
        assert_ne!(identity(4), identity(5));
    }
}

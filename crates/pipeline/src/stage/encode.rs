//! `encode`: the windows of each scan through a frozen encoder, once.
mod config;

pub use config::{EncodeConfig, TokenPrecision};

use std::path::{Path, PathBuf};

use encoder::{EncoderConfig, FrozenEncoder, InputShape, WindowTokens};
use engine::{Header, Key, Numbers, Unit};
use half::bf16;
use ndarray::{ArrayD, IxDyn};
use preprocess::{Cut, Data, Kind, PreparedScan, Seen, StoredSeries, shape, steps::VolumesConfig};
use serde_json::{Value, json};

use super::{
    Artifact, given,
    token_set::{AboutTokens, TokenFacts, TokenSet},
    work::{Preparation, Work, load_failures},
};
use crate::{
    Result,
    event::Control,
    media::Media,
    operations::add_ops,
    units::{self, Job},
};

impl Work for EncodeConfig {
    fn name(&self) -> &'static str {
        "encode"
    }

    fn version(&self) -> u32 {
        5
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Media(Kind::ScanWindows), Artifact::Media(Kind::Tokens))
    }

    fn gives(&self, have: Artifact) -> Option<Artifact> {
        let Artifact::Media(kind) = have else { return None };
        kind.is_cut().then_some(Artifact::Media(Kind::Tokens))
    }

    fn needs_model(&self) -> bool {
        true
    }

    fn preparation(&self) -> Option<&dyn Preparation> {
        Some(self)
    }
}

impl Preparation for EncodeConfig {
    fn is_by_recording(&self) -> bool {
        true
    }

    fn inputs(&self, media: &Media<'_>) -> Value {
        let before =
            (0..media.scans().len()).map(|idx| before(media, idx).ok()).collect::<Vec<_>>();
        let config = &encoder_of(media);
        let identity = config.identity().unwrap_or_else(|error| error.to_string());
        json!({ "before": before, "encoder": identity, "trained": trained(config) })
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let (config, cut) = (&encoder_of(media), windows(media));
        let input = given::input(config, media)?;
        let reads_volumes = matches!(input, InputShape::Volume { .. });
        let device = media.plan.loaded.device()?;
        let frozen =
            (!trained(config)).then(|| FrozenEncoder::open(config, input, device)).transpose()?;
        let identity = config.identity()?;
        let spec = config.spec(input)?;
        let coordinates = media.series().and_then(|it| it.about.coordinates());
        let size: usize = input.dims().iter().product();
        let work = |idx: usize, key: &Key| {
            let prepared = prepared(media, idx, reads_volumes, cut)?;
            let (tokens, seen) = if let Some(source) = given::stored(config) {
                let name = &media.scans()[idx].name;
                (given::read_stored(source, name, input)?, Seen::default())
            } else {
                let tokens = prepared.tokens(frozen.as_ref(), input, coordinates.as_deref())?;
                (tokens, prepared.seen.clone())
            };
            Ok(self.to_bytes(key, &spec.id, input, &facts(&prepared, &tokens, seen), &tokens))
        };
        let key = |idx: usize| {
            let mut decides = json!({
                "stage": self,
                "version": self.version(),
                "before": before(media, idx)?,
                "volumes": reads_volumes,
                // windows are the same for every encoder that is trained on them
                "encoder": frozen.is_some().then_some(&identity),
                "windows": frozen.is_none().then_some(input),
            });
            add_ops(device, &mut decides);
            Ok(Key::of(&decides))
        };
        let cost = |idx: usize| {
            let n_frames = super::cut::n_frames(media, idx).unwrap_or(cut.n_frames());
            let n_events = media.scans()[idx].events_s.len();
            let n_windows = cut.n_windows(n_frames, n_events).unwrap_or(1);
            let volumes = media.volumes.as_ref().filter(|_| reads_volumes);
            let n_columns = media.series().map_or(0, |it| it.about.n_columns());
            let read = volumes.map(|it| it.cost(&media.scans()[idx]));
            let read = read.unwrap_or((16 * n_frames * n_columns) as u64);
            let window = frozen.as_ref().map_or(0, FrozenEncoder::window_bytes);
            // windows as they are cut and in 32 bits; tokens as they come, as bytes, as a file
            let kept = 16 * n_windows * (spec.n_tokens() * spec.vis_dim + size);
            read + window + kept as u64
        };
        let job = Job { stage: self.name(), key: &key, cost: &cost, work: &work };
        units::each_unit(media, dir, control, &job)?;
        let (encoder, input) = match &frozen {
            None => {
                let mut named = config.clone();
                named.relocate(&|path| path.file_name().map_or_else(PathBuf::new, PathBuf::from));
                (named, input)
            }
            Some(_) => given::handed_on(&spec),
        };
        let about = AboutTokens {
            input,
            encoder,
            encoder_id: spec.id,
            licence: spec.licence.name,
            policy: policy(media),
            identity,
            preparation: preparation(media, reads_volumes),
        };
        Ok(files::write_json(&dir.join("tokens.json"), &about)?)
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        let units = units::listed(media, self.name(), dir)?;
        let about = files::read_json(&dir.join("tokens.json"))?;
        load_failures(media, self.name(), dir)?;
        let quality = |unit: &Option<Unit>| {
            unit.as_ref().map(|unit| Ok(TokenSet::facts(unit)?.quality)).transpose()
        };
        media.quality = units.iter().map(quality).collect::<Result<_>>()?;
        media.tokens = Some(TokenSet { units, about });
        Ok(())
    }
}

/// `seen`: what the tokens were made of, where this program made them.
fn facts(of: &PreparedScan, tokens: &WindowTokens, seen: Seen) -> TokenFacts {
    let n_windows = tokens.n_windows;
    TokenFacts {
        seen,
        n_windows,
        n_frames: of.n_frames,
        t_r_s: of.t_r_s,
        fd_mm: of.fd_mm.clone().filter(|fd_mm| fd_mm.len() == n_windows),
        fd_mean_mm: of.fd_mean_mm,
        fd_max_mm: of.fd_max_mm,
        n_lost: of.n_lost,
        quality: of.quality.clone(),
    }
}

/// A scan of the cohort, ready to be encoded.
fn prepared(media: &Media<'_>, idx: usize, volumes: bool, cut: &Cut) -> Result<PreparedScan> {
    // tokens that were made elsewhere need neither, but their scan is measured
    let volumes = volumes || media.series().is_none();
    let scan = &media.scans()[idx];
    let data = if let Some(config) = media.volumes.as_ref().filter(|_| volumes) {
        // mirrored ones are left out already
        Data::Volumes(Box::new(config.volumes(scan, None)?))
    } else {
        let series = media.series().expect("windows come from series or volumes");
        let unit = series.units[idx].as_ref().expect("failed scans are passed over");
        StoredSeries::read(unit)?.into()
    };
    media.as_shown(PreparedScan::of(data, scan, cut, None)?)
}

impl EncodeConfig {
    /// Windows that an encoder is trained on are not rounded.
    fn rounds(&self, tokens: &WindowTokens) -> bool {
        self.precision == TokenPrecision::Bf16 && tokens.n_tokens > 0
    }

    /// A scan's tokens as the model takes them, rounded as those that are kept.
    pub(crate) fn medium(&self, tokens: WindowTokens, input: InputShape) -> ArrayD<f32> {
        let (shape, rounds) = (shape(&tokens, input), self.rounds(&tokens));
        let rounded = |x: f32| if rounds { bf16::from_f32(x).to_f32() } else { x };
        let values = tokens.values.into_iter().map(rounded).collect();
        ArrayD::from_shape_vec(IxDyn(&shape), values).expect("as many values as the sizes say")
    }

    fn to_bytes(
        &self,
        key: &Key,
        encoder: &str,
        input: InputShape,
        facts: &TokenFacts,
        tokens: &WindowTokens,
    ) -> Vec<u8> {
        let header = Header {
            key: key.clone(),
            what: format!("tokens of encoder {encoder}"),
            facts: serde_json::to_value(facts).expect("plain values"),
        };
        let shape = shape(tokens, input);
        let values = if self.rounds(tokens) {
            Numbers::Bf16(&tokens.values)
        } else {
            Numbers::F32(&tokens.values)
        };
        let vectors = [tokens.n_windows, tokens.means.len() / tokens.n_windows.max(1)];
        let mut arrays: Vec<(&str, &[usize], Numbers<'_>)> =
            vec![("tokens", &shape, values), ("means", &vectors, Numbers::F32(&tokens.means))];
        if let Some(classes) = &tokens.classes {
            arrays.push(("classes", &vectors, Numbers::F32(classes)));
        }
        engine::to_bytes(&header, &arrays)
    }
}

pub(super) fn encoder_of(media: &Media<'_>) -> EncoderConfig {
    media.plan.loaded.encoder().expect("the plan asks for a model where scans are encoded")
}

pub(super) fn windows<'a>(media: &'a Media<'_>) -> &'a Cut {
    media.cut.as_ref().expect("windows come before encoders")
}

pub(super) fn trained(config: &EncoderConfig) -> bool {
    config.trainable().moves()
}

/// The policy of the stage `prepare`, if there is one, in words.
fn policy(media: &Media<'_>) -> Option<String> {
    media.plan.spec().steps().find_map(preprocess::Step::policy_in_words)
}

/// Everything that decides the windows of a scan.
fn before(media: &Media<'_>, idx: usize) -> Result<Value> {
    let series = media.series().map(|it| it.units[idx].as_ref().map(|unit| &unit.key));
    let volumes = |it: &VolumesConfig| -> Result<Value> {
        let (scan, confounds) = (media.digest(idx)?, media.confounds_digest(idx)?);
        let kept = media.scans()[idx].kept.as_ref().map(|kept| json!(kept));
        let decides = [json!(it.decides_volumes()), json!(scan), json!(confounds)];
        Ok(decides.into_iter().chain(kept).collect())
    };
    let volumes = media.volumes.as_ref().map(volumes).transpose()?;
    let config = encoder_of(media);
    let stored = given::stored(&config).map(|source| given::stored_digest(source, media, idx));
    let stored = stored.transpose()?;
    let mut before =
        json!({ "series": series, "volumes": volumes, "windows": media.cut, "stored": stored });
    if media.events().is_some() {
        before["events_s"] = json!(media.scans()[idx].events_s);
    }
    with_each_window(media, &mut before);
    Ok(before)
}

/// What was done to every scan before it was encoded, hashed.
fn preparation(media: &Media<'_>, volumes: bool) -> String {
    let series = media.series().filter(|_| !volumes).map(|it| &it.about.preparation);
    let volumes = media.volumes.as_ref().filter(|_| volumes).map(VolumesConfig::decides_volumes);
    let mut all = json!({ "series": series, "volumes": volumes, "windows": media.cut });
    with_each_window(media, &mut all);
    Key::of(&all).to_string()
}

/// Adds what changes each window, where something does.
fn with_each_window(media: &Media<'_>, decides: &mut Value) {
    if !media.each_window.is_empty() {
        let fitted = media.each_window.iter().map(|it| it.decides());
        decides["each_window"] = fitted.collect();
    }
}

//! The encoder against the stages before it, before a scan is opened.
use encoder::{
    EncoderConfig, EncoderSpec, FrozenEncoder, InputShape, InputSpace, ParcelOrder, Preparation,
    WeightsSource, parcel_order,
};
use preprocess::{Kind, Made, Recording, Step, steps::PrepareConfig};

use super::{EncoderPlan, beside};
use crate::{
    Error, Result,
    spec::{Loaded, Spec},
    stage::{Stage, WindowPooling, given},
};

/// Numbers of a token; published encoders have some thousands.
const WIDEST: usize = 1 << 17;

/// The name of what `volumes` does.
const GLOBAL_Z: &str = "global_z";

/// Refuses scans without a position where stages ask for one, if it is so of all of them; some are left
/// out when they are read.
pub(super) fn placed(spec: &Spec, scans: &[Recording]) -> Result<()> {
    let opens = |step: &dyn Step| step.accepts(Kind::Recordings).is_some();
    if !spec.steps().any(opens) {
        return Ok(());
    }
    let mut first = None;
    for scan in scans {
        match scan::check_placed(&scan.path) {
            Err(error @ scan::Error::Unplaced { .. }) => _ = first.get_or_insert(error),
            _ => return Ok(()),
        }
    }
    first.map_or(Ok(()), |error| Err(error.into()))
}

/// Refuses an encoder that cannot read what stages give; what an encoder of windows over whole scans
/// needs and gives, and what becomes of it.
pub(super) fn fits(
    loaded: &Loaded,
    scans: &[Recording],
    made: &Made,
) -> Result<Option<EncoderPlan>> {
    if let Some(package) = loaded.encoder_package() {
        flamingo::check_encoder_weights(&package)?;
        loaded.check_encoder_package()?;
    }
    loaded.check_lora()?;
    let Some(config) = loaded.encoder() else { return Ok(None) };
    let config = &config;
    let Some(cut) = &made.cut else { return Ok(None) };
    let encodes = loaded.spec.stages().iter().any(|it| matches!(it, Stage::Encode(_)));
    if cut.events().is_some() && !encodes {
        return reads_windows(&loaded.spec, config, made, cut.n_frames(), scans).map(|()| None);
    }
    let (n_frames, volumes) = (cut.n_frames(), made.volumes.as_ref());
    if let Some(source) = given::stored(config) {
        if cut.events().is_some() {
            let problem = "hands out windows of events, and tokens that another program made are of whole \
                           scans: expected the stage sliding_windows";
            let problem = problem.to_owned();
            return Err(Error::StageInput { stage: "event_windows", problem });
        }
        // the scan is measured, by its parcels if there are any
        if let (Some(volumes), None) = (volumes, &made.series) {
            beside::volumes(loaded, volumes, scans)?;
        }
        let (_, tokens) = given::first_stored(source)?;
        given::names_fit(source, scans)?;
        let plan = EncoderPlan::of(config, tokens)?;
        has_what_is_embedded(&plan, &loaded.spec)?;
        return Ok(Some(plan));
    }
    let n_columns = made.series.as_ref().and_then(n_columns);
    let window = n_columns.map(|n_voxels| InputShape::Window { n_frames, n_voxels });
    let volume = volumes.map(|it| InputShape::Volume { n_frames, grid: it.grid() });
    let input = given::readable(config, &[window, volume]).map_err(Error::Encoder)?;
    let reads_volumes = matches!(input, InputShape::Volume { .. });
    let encoder = config.spec(input).map_err(Error::Encoder)?;
    is_of_a_size(&encoder)?;
    let mut plan = EncoderPlan::of(config, input)?;
    plan.policy = made.policy.as_ref().map(PrepareConfig::in_words);
    plan.prepared = made.policy.as_ref().and_then(|policy| policy.of_cohort(scans));
    is_trained(config, &loaded.spec, encoder.name, reads_volumes)?;
    has_what_is_embedded(&plan, &loaded.spec)?;
    let (space, normalisation) = if reads_volumes {
        (made.volume_space(), Some(GLOBAL_Z.to_owned()))
    } else {
        (made.series.clone(), made.normalisation.clone())
    };
    let space = space.expect("just read");
    let given = |t_r_s| {
        let (space, normalisation) = (space.clone(), normalisation.clone());
        Preparation { space, n_frames, t_r_s, normalisation }
    };
    if !reads_volumes {
        stand_as(&made.labels, &encoder)?;
    }
    // whatever is wrong without a repetition time is of no scan
    encoder.check(&given(None)).map_err(Error::Encoder)?;
    // before the rate: what is too short has none worth naming
    let learned = matches!(config.weights(), Some(WeightsSource::File(_)));
    match &made.policy {
        Some(policy) => policy.fits(&encoder, learned, scans)?,
        None => encoder.check_short_scans(cut.pad(), learned).map_err(Error::Encoder)?,
    }
    let mut unfit = times(made, scans, reads_volumes).filter_map(|(scan, t_r_s)| {
        let error = encoder.check(&given(Some(t_r_s))).err()?;
        Some((scan, error))
    });
    if let Some((scan, error)) = unfit.next() {
        let (n, error) = (1 + unfit.count(), Box::new(error));
        return Err(Error::EncoderTime { file: scan.file.clone(), n, of: scans.len(), error });
    }
    if let Some(volumes) = volumes.filter(|_| reads_volumes) {
        beside::volumes(loaded, volumes, scans)?;
    }
    // keys, shapes and digests of published weights
    if let Some(WeightsSource::File(_)) = config.weights() {
        FrozenEncoder::open(config, input, &flamingo::Device::cpu()).map_err(Error::Encoder)?;
    }
    Ok(Some(plan))
}

/// Refuses tokens so wide that their weights take all memory.
fn is_of_a_size(spec: &EncoderSpec) -> Result<()> {
    if spec.vis_dim <= WIDEST {
        return Ok(());
    }
    let (encoder, found) = (spec.name, spec.vis_dim);
    let reason = format!("its tokens have {found} numbers, expected at most {WIDEST}");
    Err(Error::Encoder(encoder::Error::Setting { encoder, reason }))
}

/// Refuses weights that ought to move where no stage moves them, or where one takes them for frozen.
fn is_trained(
    config: &EncoderConfig,
    spec: &Spec,
    encoder: &'static str,
    reads_volumes: bool,
) -> Result<()> {
    if !config.trainable().moves() {
        return Ok(());
    }
    let has_weights = config.weights().is_some();
    let fit = spec.finetune();
    let embeds = spec.stages().iter().any(|stage| matches!(stage, Stage::Embed(_)));
    let reason = match fit {
        None if !has_weights => {
            "it is trained with the adapter, but there is no stage `finetune` to train it"
        }
        Some(_) if embeds && !has_weights => {
            "it is trained with the adapter, but stage `embed` needs tokens of a frozen encoder"
        }
        None => "`trainable` names weights that move, but there is no stage `finetune`",
        Some(_) if embeds => {
            "`trainable` names weights that move, but stage `embed` needs tokens of a frozen encoder"
        }
        Some(fit) if reads_volumes && fit.augment.voxel_dropout > 0. => {
            "it is trained on whole volumes, of which no voxels are dropped: set \
             augment.voxel_dropout to 0"
        }
        Some(_) => return Ok(()),
    };
    let reason = reason.to_owned();
    Err(Error::Encoder(encoder::Error::Setting { encoder, reason }))
}

/// Refuses to take class tokens of an encoder that has none.
fn has_what_is_embedded(plan: &EncoderPlan, spec: &Spec) -> Result<()> {
    let takes_class = |stage: &Stage| matches!(stage, Stage::Embed(config) if config.window == WindowPooling::Cls);
    if plan.spec.layout.has_class || !spec.stages().iter().any(takes_class) {
        return Ok(());
    }
    let (stage, field, found) = ("embed", "window", "cls".to_owned());
    let expected = format!("mean, because encoder `{}` has no class token", plan.spec.name);
    Err(Error::Setting { stage, field, found, expected })
}

/// Columns of series; of voxels their number is known after the mask, and the grid bounds it until then.
fn n_columns(space: &InputSpace) -> Option<usize> {
    match space {
        InputSpace::Parcels { n, .. } | InputSpace::Voxels { n } => Some(*n),
        _ => None,
    }
}

/// Refuses an encoder that cannot read the windows of events which it is trained on.
fn reads_windows(
    spec: &Spec,
    config: &EncoderConfig,
    made: &Made,
    n_frames: usize,
    scans: &[Recording],
) -> Result<()> {
    let learns = spec.stages().iter().any(|stage| matches!(stage, Stage::Finetune(_)));
    let space = made.series.as_ref().filter(|_| learns);
    let Some((space, n_voxels)) = space.and_then(|it| Some((it, n_columns(it)?))) else {
        return Ok(());
    };
    let input = InputShape::Window { n_frames, n_voxels };
    let given = Preparation {
        space: space.clone(),
        n_frames,
        t_r_s: times(made, scans, false).map(|(_, t_r_s)| t_r_s).next(),
        normalisation: made.normalisation.clone(),
    };
    if let Ok(spec) = config.spec(input) {
        is_of_a_size(&spec)?;
    }
    let fitting = config.spec(input).and_then(|spec| spec.check(&given));
    // the grid's voxels are no series of so many parcels
    fitting.map_err(|error| match error {
        encoder::Error::Input { encoder, expected, .. } if made.has_mask => {
            let found = format!("windows of {n_frames} frames of the voxels of a mask");
            Error::Encoder(encoder::Error::Input { encoder, expected, found })
        }
        other => Error::Encoder(other),
    })?;
    if config.trainable().moves() {
        return is_trained(config, spec, config.name(), false);
    }
    let problem = "fits an encoder to the windows of events, and this one is frozen: put the stage encode \
                   before it";
    Err(Error::StageInput { stage: "finetune", problem: problem.to_owned() })
}

/// Refuses parcels that stand in another order than the encoder's, or are others, by their labels.
fn stand_as(labels: &[String], spec: &EncoderSpec) -> Result<()> {
    let InputSpace::Parcels { atlas: Some(atlas), n, .. } = &spec.input else { return Ok(()) };
    if labels.len() != *n {
        return Ok(());
    }
    let refuse = |reason: String| {
        Err(Error::Encoder(encoder::Error::Setting { encoder: spec.name, reason }))
    };
    match parcel_order(atlas, labels) {
        Ok(ParcelOrder::Same | ParcelOrder::Unknown) => Ok(()),
        Ok(ParcelOrder::Permuted(order)) => {
            let first = (0..order.len()).find(|&at| order[at] != at).unwrap_or_default();
            refuse(format!(
                "reads the parcels of {atlas}, and those of the atlas are the same in another order: \
                 label {} is `{}`, expected `{}`; the stage `order_parcels: {{ atlas: {atlas} }}` \
                 brings them into it",
                first + 1,
                labels[first],
                labels[order[first]],
            ))
        }
        Err(other) => refuse(format!("reads the parcels of {atlas}: {other}")),
    }
}

/// The repetition time that the encoder would meet of each scan that says one.
fn times<'a>(
    made: &Made,
    scans: &'a [Recording],
    volumes: bool,
) -> impl Iterator<Item = (&'a Recording, f64)> {
    let resampled = made.rate.filter(|_| !volumes);
    let policy = made.policy.as_ref().map(|it| it.policy);
    let kept = move |t_r_s: f64| match (policy, resampled) {
        (Some(policy), _) => policy.t_r_s(t_r_s),
        (None, Some((to, tolerance))) if (t_r_s - to).abs() > tolerance => to,
        _ => t_r_s,
    };
    // its authors' code takes scans that are near to its rate as they are
    let scans = if policy.is_some_and(|it| it.rate().is_some()) { &[] } else { scans };
    scans.iter().filter_map(move |scan| Some((scan, kept(scan.t_r_s?))))
}

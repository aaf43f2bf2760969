//! `encoder check` and `encoder stats`.
use anyhow::{Result, bail};
use pipeline::{CheckedEncoder, DeviceName, EncoderCheck, FoundStats, Loaded, SeriesFiles};
use serde_json::{Value, json};

use super::{Done, pipeline::stop_on_signals};
use crate::{
    args::{EncoderCheckArgs, EncoderStatsArgs},
    print,
    progress::Progress,
};

pub(super) fn check(args: &EncoderCheckArgs, verbose: bool) -> Result<Done> {
    let device = match (args.device, &args.pipeline) {
        (Some(device), _) => device,
        (None, Some(path)) => Loaded::read(path, &args.set)?.spec.device,
        (None, None) => DeviceName::default(),
    };
    super::cuda::go_on_with(device)?;
    let how = EncoderCheck { mask_ratio: args.mask_ratio, seed: args.seed, device: Some(device) };
    let stop = stop_on_signals()?;
    let mut progress = Progress::new(verbose);
    let checked = if let Some(pipeline) = &args.pipeline {
        let encoder = args.encoder.as_deref();
        pipeline::check_encoder(pipeline, &args.set, encoder, how, &mut progress, &stop)
    } else {
        let asked = "clap asks for it";
        let series = SeriesFiles {
            files: &args.series,
            coordinates: args.coordinates.as_deref(),
            t_r: args.t_r,
            normalise: args.normalise,
            window: args.window,
        };
        let encoder = args.encoder.as_deref().expect(asked);
        pipeline::check_encoder_on_series(encoder, &series, how, &mut progress, &stop)
    };
    progress.done();
    let checked = checked?;
    if args.json {
        print::json(&serde_json::to_value(&checked)?)?;
    } else {
        print::out(&table(&checked))?;
        print::note(verdict(&checked));
    }
    Ok(if checked.n_failed > 0 { Done::Some } else { Done::All })
}

/// `encoder stats`.
pub(super) fn stats(args: &EncoderStatsArgs) -> Result<Done> {
    let found = pipeline::find_stats(&args.source)?;
    if let Some(to) = &args.export {
        let [one] = found.as_slice() else {
            let paths: Vec<String> =
                found.iter().map(|found| found.path.display().to_string()).collect();
            bail!(
                "{}: holds {} normalisations, expected one to export: name one of {}",
                args.source.display(),
                found.len(),
                paths.join(", ")
            )
        };
        one.export(to)?;
    }
    if args.json {
        let all = found.iter().map(
            |found| json!({ "path": found.path, "stats": found.summary(), "fitted": found.fitted }),
        );
        print::json(&Value::Array(all.collect()))?;
        return Ok(Done::All);
    }
    for found in &found {
        print::out(&summary(found)?)?;
    }
    Ok(Done::All)
}

/// A normalisation in words.
fn summary(found: &FoundStats) -> Result<String> {
    let stats = found.summary();
    let formula = serde_json::to_value(stats.formula)?;
    let mut lines =
        vec![format!("{}: {}", found.path.display(), formula.as_str().unwrap_or_default())];
    let fitted = match (stats.n_parcels, stats.n_recordings) {
        (0, _) => "nothing fitted: each recording is brought to scale by itself".to_owned(),
        (n, 0) => format!("{n} parcels, taken from a file"),
        (n, of) => format!("{n} parcels, fitted to {of} recordings"),
    };
    lines.push(format!("  {fitted}"));
    for (name, range) in [("shift", stats.shift), ("scale", stats.scale)] {
        if let Some([least, middle, most]) = range {
            lines.push(format!("  {name}  {least:.6} to {most:.6}, middle {middle:.6}"));
        }
    }
    if !stats.unfitted.is_empty() {
        let parcels: Vec<String> = stats.unfitted.iter().map(usize::to_string).collect();
        lines.push(format!("  no spread, so series become 0: parcels {}", parcels.join(", ")));
    }
    Ok(lines.join("\n"))
}

/// One line a scan, and one for all.
fn table(checked: &CheckedEncoder) -> String {
    let CheckedEncoder { encoder, mask_ratio, seed, n_frames, scans, all, .. } = checked;
    let n_windows = scans.iter().map(|scan| scan.n_windows).sum();
    let rows = scans.iter().map(|scan| (scan.name.as_str(), scan.n_windows, &scan.fit));
    let rows: Vec<_> = rows.chain([("all", n_windows, all)]).collect();
    let width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0).max(4);
    let mut lines = vec![
        format!(
            "{encoder}: {:.0} % of the patches hidden, seed {seed}, windows of {n_frames} frames",
            100.0 * mask_ratio
        ),
        format!("{:width$}  windows       R²  parcel mean  frame mean", "scan"),
    ];
    lines.extend(rows.iter().map(|(name, n, fit)| {
        let (parcel, frame) = (fit.r2_parcel_mean, fit.r2_frame_mean);
        format!("{name:width$}  {n:7}  {:7.3}  {parcel:11.3}  {frame:10.3}", fit.r2)
    }));
    lines.join("\n")
}

fn verdict(checked: &CheckedEncoder) -> &'static str {
    let all = &checked.all;
    if all.r2 > all.r2_parcel_mean.max(all.r2_frame_mean).max(0.0) {
        "the model fills in hidden patches better than both predictors that have learned nothing"
    } else {
        "the model is no better than a predictor that has learned nothing: compare atlas, coordinates, \
         normalisation and repetition time with those of its training"
    }
}

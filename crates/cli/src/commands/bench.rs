//! `bench`.
use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use pipeline::{
    Opening, Precision,
    bench::{self, Figure},
};
use serde::Serialize;
use serde_json::Value;

use super::Done;
use crate::{args::BenchArgs, print};

/// A figure and the peer's.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    figure: Figure,
    /// The peer's median, in seconds.
    peer_s: Option<f64>,
    /// How many times as fast as the peer.
    times: Option<f64>,
    /// The same, by processor time.
    times_by_cpu: Option<f64>,
}

pub(super) fn run(args: &BenchArgs) -> Result<Done> {
    super::cuda::go_on_with(args.device)?;
    let peer = args.peer.as_deref().map(read).transpose()?;
    let mut rows = Vec::new();
    for job in &args.job {
        for &precision in &args.precision {
            print::note(&format!("{job} in {precision}"));
            let opening = Opening::of(precision, args.device)?;
            bench::run(job, &opening, args.seconds, &mut |figure| {
                rows.push(beside(figure, peer.as_ref()));
            })
            .map_err(pipeline::Error::from)?;
        }
    }
    if args.json {
        print::json(&serde_json::to_value(&rows)?)?;
    } else {
        print::out(&table(&rows))?;
    }
    Ok(Done::All)
}

fn read(path: &Path) -> Result<Value> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON table", path.display()))
}

/// The peer has no quantised weights: its fastest, bf16, stands beside ours.
fn beside(figure: Figure, peer: Option<&Value>) -> Row {
    let theirs = if figure.precision == Precision::F32 { "f32" } else { "bf16" };
    let theirs = peer.map(|peer| &peer[format!("{}/{theirs}", figure.job)][&figure.what]);
    let number = |key: &str| theirs.and_then(|theirs| theirs[key].as_f64());
    let peer_s = number("median_s");
    Row {
        peer_s,
        times: peer_s.map(|peer| peer / figure.median_s),
        times_by_cpu: number("cpu_s").zip(figure.cpu_s).map(|(peer, ours)| peer / ours),
        figure,
    }
}

fn table(rows: &[Row]) -> String {
    let head = [
        "job", "numbers", "what", "median", "tokens/s", "memory", "of it", "of peak", "peer",
        "ratio", "by cpu",
    ];
    let number = |number: Option<f64>, digits: usize, unit: &str| {
        number.map_or_else(String::new, |number| format!("{number:.digits$}{unit}"))
    };
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows.iter().map(|Row { figure, peer_s, times, times_by_cpu }| {
        [
            figure.job.clone(),
            figure.precision.to_string(),
            figure.what.clone(),
            number(Some(figure.median_s * 1e3), 1, " ms"),
            number(figure.tokens_per_s, 1, ""),
            number(Some(figure.memory_gb_s), 1, " GB/s"),
            number(figure.of_memory.map(|share| share * 100.), 0, " %"),
            number(figure.of_peak.map(|share| share * 100.), 0, " %"),
            number(peer_s.map(|s| s * 1e3), 1, " ms"),
            number(*times, 2, ""),
            number(*times_by_cpu, 2, ""),
        ]
    }));
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[String; 11]| {
        let cell = |(at, cell): (usize, &String)| {
            let width = widths[at];
            if at < 3 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        };
        let cells: Vec<String> = cells.iter().enumerate().map(cell).collect();
        cells.join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(precision: Precision) -> Figure {
        Figure {
            job: "opt125m_x1".to_owned(),
            precision,
            what: "decode16_after128".to_owned(),
            median_s: 0.5,
            min_s: 0.4,
            cpu_s: Some(0.8),
            n: 3,
            tokens_per_s: Some(32.),
            weight_bytes: Some(1),
            memory_gb_s: 30.,
            of_memory: Some(0.9),
            of_peak: Some(0.45),
        }
    }

    #[test]
    fn a_figure_stands_beside_the_peers_of_the_same_name() {
        let peer = serde_json::json!({
            "opt125m_x1/f32": { "decode16_after128": { "median_s": 1.0, "cpu_s": 2.0 } },
            "opt125m_x1/bf16": { "decode16_after128": { "median_s": 2.0 } },
        });
        for (precision, times, by_cpu) in [
            (Precision::F32, 2., Some(2.5)),
            (Precision::Bf16, 4., None),
            (Precision::Q8_0, 4., None),
        ] {
            let row = beside(figure(precision), Some(&peer));
            assert_eq!((row.times, row.times_by_cpu), (Some(times), by_cpu));
        }
        let alone = beside(figure(Precision::F32), None);
        assert_eq!(alone.peer_s, None);
        let table = table(&[alone]);
        assert!(table.contains("500.0 ms") && table.contains("90 %"), "{table}");
        assert!(table.contains("of peak") && table.contains("45 %"), "{table}");
    }
}

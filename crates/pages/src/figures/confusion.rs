//! True against stated values.

use super::canvas::{Anchor, Canvas, Svg};
use report::metrics::Confusion;

const CELL: f64 = 38.0;

/// A grid of counts: a row a true value, a column a stated one, the last for reports without one.
/// Shade is the share of the row; right answers are framed.
pub(crate) fn confusion(confusion: &Confusion) -> Svg {
    let n_rows = confusion.labels.len() as f64;
    let longest =
        confusion.labels.iter().map(|label| label.chars().count()).max().unwrap_or(0).max(10);
    // a slanted label is 0.7 of its length high
    let (left, top) = (24.0 + 7.2 * longest as f64, 44.0 + 5.1 * longest as f64);
    let (width, height) = (left + CELL * (n_rows + 1.0) + 76.0, top + CELL * n_rows + 12.0);
    let mut canvas = Canvas::new(width, height, &title(confusion));

    canvas.text((left - 10.0, top - 12.0), Anchor::End, "soft", "true");
    let columns = confusion.labels.iter().map(String::as_str).chain(["not stated"]);
    for (idx, label) in columns.enumerate() {
        let x = left + CELL * (idx as f64 + 0.5);
        let y = top - 10.0;
        canvas.push(format_args!("<g transform=\"translate({x:.1} {y:.1}) rotate(-45)\">"));
        canvas.text((0.0, 4.0), Anchor::Start, "", label);
        canvas.push("</g>");
    }
    let middle = left + CELL * (n_rows + 1.0) / 2.0;
    canvas.text((middle, 16.0), Anchor::Middle, "soft", "stated");
    for (row, (label, counts)) in confusion.labels.iter().zip(&confusion.counts).enumerate() {
        let y = top + CELL * row as f64;
        canvas.text((left - 10.0, y + CELL / 2.0 + 4.0), Anchor::End, "", label);
        let total = counts.iter().sum::<usize>().max(1) as f64;
        for (column, &count) in counts.iter().enumerate() {
            let x = left + CELL * column as f64;
            let share = count as f64 / total;
            if count > 0 {
                canvas.push(format_args!(
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{CELL}\" height=\"{CELL}\" \
                     class=\"cell\" fill-opacity=\"{:.2}\"/>",
                    0.12 + 0.88 * share
                ));
                let class = if share > 0.5 { "on" } else { "" };
                let center = (x + CELL / 2.0, y + CELL / 2.0 + 4.0);
                canvas.text(center, Anchor::Middle, class, &count.to_string());
            }
            canvas.rect("frame", (x, y), (CELL, CELL));
        }
    }
    for row in 0..confusion.labels.len() {
        let at = CELL * row as f64;
        canvas.rect("own", (left + at, top + at), (CELL, CELL));
    }
    canvas.finish()
}

fn title(confusion: &Confusion) -> String {
    let right: usize = confusion.counts.iter().enumerate().map(|(idx, row)| row[idx]).sum();
    let all: usize = confusion.counts.iter().flatten().sum();
    format!("Confusion matrix of {all} reports, {right} of them right")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_is_written_and_summed_up_for_those_who_cannot_see() {
        let labels = ["a", "b<"].map(str::to_owned).to_vec();
        let svg = confusion(&Confusion { labels, counts: vec![vec![7, 1, 0], vec![0, 5, 2]] });
        assert!(svg.contains("aria-label=\"Confusion matrix of 15 reports, 12 of them right\""));
        for count in [">7<", ">1<", ">5<", ">2<"] {
            assert_eq!(svg.matches(&format!("{count}/text>")).count(), 1);
        }
        assert!(svg.contains("b&lt;") && svg.contains(">not stated<"));
    }
}

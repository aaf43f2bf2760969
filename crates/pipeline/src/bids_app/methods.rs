//! The words for a paper that lie beside derivatives, and what to cite.
use std::fmt::Write as _;

use serde_json::Value;

use super::call::BidsApp;
use crate::{
    methods::{VERSION, paragraph, references},
    plan::Plan,
};

/// `logs/CITATION.md`.
pub(super) fn boilerplate(app: &BidsApp, plan: &Plan) -> String {
    let mut text = format!(
        "# Methods\n\n\
         The paragraph below may be copied into a manuscript as it is. It is dedicated to the public domain \
         (CC0 1.0): https://creativecommons.org/publicdomain/zero/1.0/\n\n\
         Derivatives of the dataset \"{}\" (organised as BIDS; Gorgolewski et al., 2016) were computed with {}",
        app.source.name(),
        paragraph(plan, plan.runs[0].seed),
    );
    text.push_str(
        " Every setting is in `logs/config_used.yaml`. The output is for research and was not used for diagnosis.\n\n\
         # References\n",
    );
    for it in references(plan) {
        text.push_str("\n- ");
        text.push_str(&it.cited("*"));
    }
    text.push_str(
        "\n\nTo these belong the program that made the dataset and, where an encoder or a language model was used, \
         its authors' publication.\n",
    );
    text
}

/// `CITATION.cff` of the derivatives.
pub(super) fn citation(app: &BidsApp, plan: &Plan) -> String {
    let title = format!(
        "Derivatives of {} by neuroflamingo, pipeline {}",
        app.source.name(),
        plan.spec().name
    );
    // a string of JSON is one of YAML
    let quoted = |text: &str| Value::from(text).to_string();
    let mut text = format!(
        "cff-version: 1.2.0\n\
         message: Please cite these works when you use the derivatives.\n\
         type: dataset\n\
         title: {}\n\
         authors:\n  - name: The people who ran neuroflamingo on this dataset\n\
         references:\n  - type: software\n    title: neuroflamingo\n    version: {}\n    authors:\n      - name: The neuroflamingo developers\n",
        quoted(&title),
        quoted(VERSION),
    );
    for it in references(plan) {
        let _ = write!(
            text,
            "  - type: article\n    title: {}\n    year: {}\n",
            quoted(it.title),
            it.year
        );
        let _ = writeln!(text, "    journal: {}", quoted(it.venue));
        if let Some(doi) = it.doi {
            let _ = writeln!(text, "    doi: {}", quoted(doi));
        }
        text.push_str("    authors:\n");
        for (family, given) in it.authors {
            let (family, given) = (quoted(family), quoted(given));
            let _ = write!(text, "      - family-names: {family}\n        given-names: {given}\n");
        }
        text.push_str("      - name: et al.\n");
    }
    text
}

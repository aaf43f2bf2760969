//! `fixtures/tiny-lm/corpus.txt`: what the tiny language model is pretrained on.
//!
//! The same grammar as the pairs, with other wordings: a combination of sentences that a pair uses never
//! occurs here, for any picture. Leaving out only the pairs' own texts would be a leak of its own, since
//! a model could then learn which picture a wording does *not* come with.

use std::path::Path;

use anyhow::Result;
use rand::{
    Rng, SeedableRng,
    seq::{IndexedRandom, SliceRandom},
};
use rand_chacha::ChaCha8Rng;
use report::prompt::{Labels, PromptTemplate, Technique};

use crate::{fixtures::Generated, grammar::KINDS, pairs};

const CORPUS: &str = "fixtures/tiny-lm/corpus.txt";
const SEED: u64 = 481;
/// 375 texts a kind of picture.
const N_TEXTS: usize = 3000;

/// The generated file: texts separated by one empty line.
pub(crate) fn file(root: &Path) -> Result<Generated> {
    let wordings = pairs::free_wordings(root)?;
    let template = PromptTemplate::new(PromptTemplate::STANDARD)?;
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut texts: Vec<String> = (0..N_TEXTS)
        .map(|idx| {
            let wording = wordings[idx / KINDS.len() % wordings.len()];
            let prompt = template.fill(&technique(&mut rng), &Labels::new());
            prompt + &wording.report(KINDS[idx % KINDS.len()])
        })
        .collect();
    texts.shuffle(&mut rng);
    Ok(Generated { path: CORPUS, text: texts.join("\n\n") + "\n" })
}

/// Numbers a scan could have.
fn technique(rng: &mut ChaCha8Rng) -> Technique {
    const T_R_S: [f64; 10] = [0.72, 0.8, 1.0, 1.5, 1.8, 2.0, 2.2, 2.5, 3.0, 3.5];
    Technique {
        t_r_s: *T_R_S.choose(rng).expect("the list is not empty"),
        n_volumes: rng.random_range(4..=40),
        n_voxels: rng.random_range(100..=999),
        median_tsnr: Some(f64::from(rng.random_range(20..=140_u32))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_report_of_a_pair_is_in_the_corpus() {
        let root = crate::repository();
        let corpus = file(&root).unwrap().text;
        let text = pairs::file(&root).unwrap().text;
        let rows: Vec<pairs::Pair> =
            csv::Reader::from_reader(text.as_bytes()).deserialize().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 96);
        for row in &rows {
            assert!(!corpus.contains(&row.report), "{}", row.report);
        }
        let distinct: HashSet<&str> = rows.iter().map(|row| row.report.as_str()).collect();
        assert_eq!(distinct.len(), 96);
    }

    #[test]
    fn texts_are_balanced_coherent_and_small() {
        let corpus = file(&crate::repository()).unwrap().text;
        assert!(corpus.len() <= 800_000, "{} bytes", corpus.len());
        let texts: Vec<&str> = corpus.trim_end().split("\n\n").collect();
        assert_eq!(texts.len(), N_TEXTS);
        for kind in KINDS {
            let of_kind: Vec<&&str> = texts
                .iter()
                .filter(|text| text.lines().nth(2).is_some_and(|line| line.contains(kind.words)))
                .collect();
            assert_eq!(of_kind.len(), N_TEXTS / KINDS.len(), "{}", kind.name);
            for text in of_kind {
                let findings = text.lines().nth(1).unwrap();
                assert!(findings.contains(kind.words) && findings.contains(kind.domain), "{text}");
            }
        }
    }
}

use super::*;
use crate::decode::log_softmax;

const END: u32 = 0;
const N: usize = 20;

/// A model whose next id depends on the last one only: a row of log-probabilities for each.
struct Table(Vec<Vec<f32>>);

impl Table {
    fn new(seed: u64, spread: f64) -> Self {
        let logits = nn::seeded::normal(seed, "table", N * N, 0., spread);
        let rows = logits.chunks(N).map(|row| {
            let mut row: Vec<f32> = row.iter().map(|&logit| logit as f32).collect();
            log_softmax(&mut row);
            row
        });
        Self(rows.collect())
    }

    fn after(&self, id: u32) -> Vec<f32> {
        self.0[id as usize].clone()
    }

    /// Searches from prompts, given as length and last id, and follows the rows as a cache would.
    fn search(
        &self,
        config: &BeamConfig,
        prompts: &[(usize, u32)],
        longest: usize,
        n: usize,
    ) -> Vec<Vec<Hypothesis>> {
        let lengths: Vec<usize> = prompts.iter().map(|&(length, _)| length).collect();
        let mut beams = Beams::new(config, &lengths, END, longest);
        let repeat = |&(_, id): &(usize, u32)| vec![vec![id]; config.num_beams];
        let mut texts: Vec<Vec<u32>> = prompts.iter().flat_map(repeat).collect();
        for _ in 0..longest {
            let rows: Vec<_> = texts.iter().map(|text| self.after(*text.last().unwrap())).collect();
            let next = beams.advance(&rows).unwrap();
            let extend = |(&row, &id): (&u32, &u32)| [&*texts[row as usize], &[id]].concat();
            texts = next.rows.iter().zip(&next.ids).map(extend).collect();
            for (beam, text) in beams.beams.iter().zip(&texts) {
                assert_eq!(beam.ids, text[1..]);
            }
            if beams.is_done() {
                break;
            }
        }
        beams.finish(n)
    }

    /// Every text from a prompt, scored by the definition, best first.
    fn all_texts(
        &self,
        config: &BeamConfig,
        prompt: (usize, u32),
        longest: usize,
    ) -> Vec<Hypothesis> {
        let mut found = Vec::new();
        let mut open = vec![(Vec::new(), 0f64)];
        for n_new in 1..=longest {
            let mut longer = Vec::new();
            for (ids, sum) in open {
                let last = *ids.last().unwrap_or(&prompt.1);
                for (id, log_prob) in self.after(last).into_iter().enumerate() {
                    let text: Vec<u32> = [&*ids, &[id as u32]].concat();
                    let (sum, stopped) = (sum + f64::from(log_prob), id == END as usize);
                    if stopped || n_new == longest {
                        let length = match config.length {
                            Length::Whole => prompt.0 + n_new - usize::from(stopped),
                            Length::Generated => n_new,
                        };
                        let score = sum / (length as f64).powf(config.length_penalty);
                        found.push(Hypothesis { ids: text, score, stopped });
                    } else {
                        longer.push((text, sum));
                    }
                }
            }
            open = longer;
        }
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found
    }
}

#[test]
fn a_search_wide_enough_finds_the_best_of_all_texts() {
    for (seed, length_penalty) in [(1, 1.), (2, 0.), (3, -2.), (4, 0.5)] {
        for length in [Length::Whole, Length::Generated] {
            let table = Table::new(seed, 1.5);
            let early_stopping = EarlyStopping::Never;
            let config =
                BeamConfig { length_penalty, length, early_stopping, ..BeamConfig::new(N * N) };
            let found = table.search(&config, &[(4, 7)], 3, 5);
            let expected = table.all_texts(&config, (4, 7), 3);
            for (found, expected) in found[0].iter().zip(&expected) {
                assert_eq!((&found.ids, found.stopped), (&expected.ids, expected.stopped));
                assert!((found.score - expected.score).abs() < 1e-5 * expected.score.abs());
            }
            assert_eq!(found[0].len(), 5);
        }
    }
}

#[test]
fn a_narrow_search_finds_no_better_text_than_there_is() {
    let table = Table::new(5, 2.);
    let config = BeamConfig::new(3);
    let best = &table.all_texts(&config, (2, 3), 4)[0];
    let found = &table.search(&config, &[(2, 3)], 4, 1)[0][0];
    assert!(found.score <= best.score + 1e-6);
}

#[test]
fn a_batch_equals_its_singles_however_early_each_prompt_leaves() {
    use EarlyStopping::{Full, Heuristic, Never};
    let table = Table::new(6, 3.);
    let prompts = [(3, 1), (9, 2), (1, 5), (4, 11), (3, 1)];
    for early_stopping in [Full, Heuristic, Never] {
        for length_penalty in [-2., 0., 1.] {
            let config = BeamConfig { length_penalty, early_stopping, ..BeamConfig::new(3) };
            let together = table.search(&config, &prompts, 8, 3);
            for (prompt, found) in prompts.iter().zip(&together) {
                assert_eq!(found, &table.search(&config, &[*prompt], 8, 3)[0]);
                assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
            }
            assert_eq!(together[0], together[4]);
        }
    }
}

/// Log-probabilities of a step: each beam's row.
fn advance(beams: &mut Beams, rows: &[[f32; 4]]) -> Next {
    beams.advance(&rows.iter().map(|row| row.to_vec()).collect::<Vec<_>>()).unwrap()
}

#[test]
fn the_end_counts_only_among_the_best_num_beams() {
    let mut beams = Beams::new(&BeamConfig::new(2), &[1], END, 9);
    // the end is third of the four candidates: no text, but it takes no beam's place either
    let next = advance(&mut beams, &[[-3., -1., -2., -4.]; 2]);
    assert_eq!((next.rows, next.ids), (vec![0, 0], vec![1, 2]));
    // now it is second: a text that ends, beside two that go on
    let next = advance(&mut beams, &[[-1., -0.5, -9., -2.], [-9., -7., -9., -9.]]);
    assert_eq!((next.rows, next.ids, next.places), (vec![0, 0], vec![1, 3], vec![0, 1]));
    let found = beams.finish(2).remove(0);
    // −1 −1 over a prompt of 1 and one token before the end; −1 −0.5 over 1 and two tokens
    assert_eq!(found[0], Hypothesis { ids: vec![1, 1], score: -0.5, stopped: false });
    assert_eq!(found[1], Hypothesis { ids: vec![1, 0], score: -1., stopped: true });
}

#[test]
fn equal_scores_prefer_the_earlier_beam_and_the_lower_id() {
    let mut beams = Beams::new(&BeamConfig::new(2), &[1], END, 9);
    let next = advance(&mut beams, &[[-9., -1., -1., -1.]; 2]);
    assert_eq!((next.rows, next.ids), (vec![0, 0], vec![1, 2]));
    let next = advance(&mut beams, &[[-9., -2., -1., -2.], [-9., -1., -5., -2.]]);
    assert_eq!((next.rows, next.ids), (vec![0, 1], vec![2, 1]));
}

#[test]
fn a_forbidden_way_is_never_a_text() {
    const NEVER: f32 = f32::NEG_INFINITY;
    let mut beams = Beams::new(&BeamConfig::new(2), &[1], END, 9);
    let only = |id: usize| {
        let mut row = [NEVER; 4];
        row[id] = -0.5;
        [row; 2]
    };
    let next = advance(&mut beams, &only(2));
    assert_eq!(next.ids[0], 2);
    advance(&mut beams, &only(1));
    assert_eq!(beams.clone().finish(1)[0][0].ids, [2, 1]);
    let next = advance(&mut beams, &only(END as usize));
    assert_eq!(next.rows.len(), 2, "one text has ended, room for another is left");
    assert_eq!(beams.clone().finish(9)[0].len(), 2);
    let mut nothing = Beams::new(&BeamConfig::new(2), &[1], END, 9);
    let rows = vec![vec![NEVER; 4]; 2];
    assert!(matches!(nothing.advance(&rows), Err(Error::NothingAllowed)));
}

use super::texts::{model, requests};
use crate::generate::{Constrain, Guide, Next, NumberRange};
use crate::{Error, GenerateConfig, Result, Scored, flamingo::NEVER};

/// Says what comes next by a list, then the end.
struct Listed {
    next: Vec<Next>,
    asked: Vec<String>,
    took: Vec<(usize, Vec<f64>)>,
}

impl Listed {
    fn new(next: &[Next]) -> Self {
        Self { next: next.iter().rev().cloned().collect(), asked: Vec::new(), took: Vec::new() }
    }
}

impl Guide for Listed {
    fn next(&mut self, text: &str) -> Next {
        self.asked.push(text.to_owned());
        self.next.pop().unwrap_or(Next::End)
    }

    fn took(&mut self, taken: usize, log_likelihoods: &[f64]) {
        self.took.push((taken, log_likelihoods.to_vec()));
    }
}

struct Free;

impl Guide for Free {
    fn next(&mut self, _: &str) -> Next {
        Next::Any
    }

    fn took(&mut self, _: usize, _: &[f64]) {}
}

fn texts(words: &[&str]) -> Next {
    Next::OneOf(words.iter().map(|it| (*it).to_owned()).collect())
}

#[test]
fn a_guide_that_allows_anything_leaves_the_greedy_text() -> Result<()> {
    let (_root, model) = model();
    let config = GenerateConfig::greedy(10, 3);
    let mut guides = [Free, Free, Free];
    let mut guides: Vec<&mut dyn Guide> = guides.iter_mut().map(|it| it as _).collect();
    let guided = model.generate_guided(&requests(), &mut guides, &config, NEVER)?;
    assert_eq!(guided, model.generate(&requests(), &config)?);
    Ok(())
}

#[test]
fn alternatives_have_the_likelihoods_of_texts_that_are_read_anew() -> Result<()> {
    let (_root, model) = model();
    let words = [" faces", " viewing of faces", " f"];
    let listed =
        [Next::Text(" of".to_owned()), texts(&words), Next::Text(".".to_owned()), texts(&words)];
    let config = GenerateConfig::greedy(40, 3);
    // the second begins later, so that the rows are ragged
    let mut guides = [
        Listed::new(&listed),
        Listed::new(&[&[Next::Any], &listed[..]].concat()),
        Listed::new(&listed),
    ];
    let mut borrowed: Vec<&mut dyn Guide> = guides.iter_mut().map(|it| it as _).collect();
    let found = model.generate_guided(&requests(), &mut borrowed, &config, NEVER)?;
    for ((request, guide), generated) in requests().iter().zip(&guides).zip(&found) {
        assert!(generated.stopped && guide.took.len() == 2);
        assert_eq!(guide.asked.last(), Some(&generated.text));
        let before = guide.asked.len() - 1;
        for (place, (taken, likelihoods)) in [before - 3, before - 1].into_iter().zip(&guide.took) {
            let scored = |word: &&str| Scored {
                prompt: format!("{}{}", request.prompt, guide.asked[place]),
                continuation: (*word).to_owned(),
                media: request.media.clone(),
            };
            let items: Vec<Scored> = words.iter().map(scored).collect();
            let anew = model.log_likelihood(&items, 3)?;
            for (found, anew) in likelihoods.iter().zip(&anew) {
                assert!((found - anew.sum).abs() < 1e-4, "{found} is not {}", anew.sum);
            }
            let most = likelihoods.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert_eq!(likelihoods[*taken], most);
            let after = &guide.asked[place + 1];
            assert_eq!(*after, format!("{}{}", guide.asked[place], words[*taken]));
        }
    }
    Ok(())
}

#[test]
fn numbers_stay_in_their_range_and_have_all_decimals() -> Result<()> {
    let (_root, model) = model();
    for (lowest, highest, decimals) in [(18.0, 90.0, 0), (-3.5, 2.25, 2), (1000.0, 1003.0, 1)] {
        let range = NumberRange::new(lowest, highest, decimals);
        let mut guide = Listed::new(&[Next::Text(" age".to_owned()), Next::Number(range)]);
        let config = GenerateConfig::greedy(40, 1);
        let found =
            model.generate_guided(&requests()[..1], &mut [&mut guide], &config, NEVER)?.remove(0);
        let number = found.text.strip_prefix(" age ").unwrap();
        assert!(range.is_whole(number), "{:?}", found.text);
        assert!(found.stopped && guide.asked.last() == Some(&found.text));
    }
    Ok(())
}

#[test]
fn what_is_too_long_is_cut_before_the_piece_and_settings_that_draw_are_refused() -> Result<()> {
    let (_root, model) = model();
    let listed = [Next::Text(" of".to_owned()), Next::Text(" faces viewing of faces".to_owned())];
    let mut guide = Listed::new(&listed);
    let config = GenerateConfig::greedy(3, 1);
    let found = model.generate_guided(&requests()[..1], &mut [&mut guide], &config, NEVER)?;
    assert_eq!((found[0].text.as_str(), found[0].stopped), (" of", false));

    let drawn = GenerateConfig { top_k: Some(2), ..config.clone() };
    let error = model.generate_guided(&[], &mut [], &drawn, NEVER).unwrap_err();
    assert!(matches!(error, Error::Setting { field: "top_k", .. }), "{error}");
    let both = GenerateConfig { constrain: Some(Constrain::Slots), num_beams: Some(3), ..config };
    assert!(matches!(both.check(), Err(Error::Setting { field: "num_beams", .. })));
    Ok(())
}

//! Seeded divisions of people, alike in classes.

use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

use super::ProbeSettings;
use crate::{Error, Result};

/// People of one class, or all of them.
pub(super) type Strata = Vec<Vec<usize>>;

/// People by the class of their first sample; one group where there are no classes.
///
/// # Errors
/// Where a person has several classes, or a class that occurs has fewer than two people: one to learn from, and one to try it on.
pub(super) fn strata(
    person: &[usize],
    n_people: usize,
    class: Option<(&[usize], usize)>,
) -> Result<Strata> {
    let Some((class, n_classes)) = class else { return Ok(vec![(0..n_people).collect()]) };
    let mut of_person = vec![None; n_people];
    for (sample, &person) in person.iter().enumerate() {
        let found = class[sample];
        if found >= n_classes {
            return Err(Error::ClassOutOfRange { sample, found, n_classes });
        }
        if *of_person[person].get_or_insert(found) != found {
            return Err(Error::ClassesOfPerson);
        }
    }
    let mut strata = vec![Vec::new(); n_classes];
    for (person, class) in of_person.iter().enumerate() {
        if let Some(class) = class {
            strata[*class].push(person);
        }
    }
    strata.retain(|people| !people.is_empty());
    for people in &strata {
        crate::metrics::at_least("people of a class", people.len(), 2)?;
    }
    crate::metrics::at_least("classes that occur", strata.len(), 2)?;
    Ok(strata)
}

/// Who is tried in a division: of each class the share that was asked for, at least one, and at least one
/// is left to learn from.
pub(super) fn test_people(
    strata: &Strata,
    n_people: usize,
    settings: ProbeSettings,
    split: usize,
) -> Vec<bool> {
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    rng.set_stream(split as u64);
    let mut is_test = vec![false; n_people];
    for people in strata {
        let mut people = people.clone();
        people.shuffle(&mut rng);
        let n = (people.len() as f64 * settings.test_share).round() as usize;
        people.iter().take(n.clamp(1, people.len() - 1)).for_each(|&it| is_test[it] = true);
    }
    is_test
}

//! What can be wrong with people and their measures.

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every failure of this crate: what was found and what was expected.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the sentence beside each variant says what its fields hold")]
pub enum Error {
    #[error("there are {people} people and {rows} rows of measures, expected as many")]
    Counts { people: usize, rows: usize },
    #[error("a person has {found} features, expected {expected}")]
    Features { found: usize, expected: usize },
    #[error("a person has {found} covariates, expected {expected}")]
    Covariates { found: usize, expected: usize },
    #[error("{found} of {total} measures are not finite numbers, expected all")]
    NonFinite { found: usize, total: usize },
    #[error("covariate {name} is not a finite number for a person, expected one for everybody")]
    NonFiniteCovariate { name: String },
    #[error("{name} is {found}, which no training person has; expected one of: {known}")]
    UnseenClass { name: String, found: String, known: String },
    #[error(
        "site {found} has no two training people, so nothing was fitted to it; expected one of: {known}"
    )]
    UnseenSite { found: String, known: String },
    #[error(
        "{found} sites have two training people or more, expected at least 2: there is nothing to harmonise"
    )]
    Sites { found: usize },
    #[error(
        "covariate {name} says nothing that the constant, the sites and the covariates before it do not say \
         (in the training people); leave it out"
    )]
    Collinear { name: String },
    #[error("{people} training people are too few for {columns} columns of site and covariates")]
    TooFewPeople { people: usize, columns: usize },
    #[error("every feature is constant in the training people, expected some that vary")]
    Constant,
    #[error("the estimates of site {site} did not settle in {steps} steps")]
    NotSettled { site: String, steps: usize },
}

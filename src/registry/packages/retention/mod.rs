//! Retention: the rules of an owner ([`rules`]), what they decide about each version ([`decide`] makes a [`verdict`] of [`facts`]), the
//! preview of that ([`preview`]), and moving versions away that expired or that the rules delete ([`removal`]).

pub mod decide;
pub mod facts;
pub mod preview;
pub mod removal;
pub mod rules;
pub mod verdict;

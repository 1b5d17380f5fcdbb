//! SQL text as an expression. Diesel's own way to write one, `sql`, makes Postgres parse and plan the whole statement
//! each time, which takes several times as long as to run it. These keep it prepared.

/// Lets a type that implements [`QueryFragment`](diesel::query_builder::QueryFragment) be an expression of this SQL type
/// in any query with the right tables. Its text must never contain a value: values are parameters. A type whose text is
/// always the same derives [`QueryId`](diesel::query_builder::QueryId), so that a statement is found without its text.
macro_rules! sql_expression {
    ($name:ty: $sql_type:ty) => {
        impl diesel::expression::Expression for $name {
            type SqlType = $sql_type;
        }

        impl<QS: ?Sized> diesel::expression::AppearsOnTable<QS> for $name {}

        impl<QS: ?Sized> diesel::expression::SelectableExpression<QS> for $name {}

        impl<GB> diesel::expression::ValidGrouping<GB> for $name {
            type IsAggregate = diesel::expression::is_aggregate::Never;
        }
    };
}

pub(in crate::registry) use sql_expression;

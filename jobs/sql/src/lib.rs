//! Questions in SQL to tables that somebody else reads.
//!
//! A crate of its own for the time that it takes to compile: what uses `DataFusion`'s asynchronous
//! and generic functions has much of it compiled anew, so nothing of it shows here.

mod provider;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use futures::StreamExt as _;
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};

use self::provider::Provider;

/// What is wrong with reading a table, in the words of who reads it.
pub type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// The rows of a part of a table, a batch at a time.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ReadError>> + Send>;

/// A table.
pub trait Table: std::fmt::Debug + Send + Sync {
    /// Its columns.
    fn schema(&self) -> SchemaRef;

    /// Its files, by number.
    fn files(&self) -> Vec<usize>;

    /// The rows of a file; of each the columns of these places, in this order.
    fn read(&self, file: usize, columns: &[usize]) -> Batches;
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum SqlError {
    /// It is no SQL, or more than reading.
    #[error("{0}")]
    Question(String),
    /// It can't be computed: a table can't be read, a number is divided by zero.
    #[error("{0}")]
    Run(String),
}

impl SqlError {
    fn of_question(error: &DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::External(_) => Self::of_run(error),
            DataFusionError::SQL(error, _) => Self::Question(error.to_string()),
            root => Self::Question(root.strip_backtrace()),
        }
    }

    fn of_run(error: &DataFusionError) -> Self {
        Self::Run(match error.find_root() {
            DataFusionError::External(error) => error.to_string(),
            root => root.strip_backtrace(),
        })
    }
}

/// A table that a question names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// What stands before its name, if anything.
    pub schema: Option<String>,
    /// Its name.
    pub table: String,
    /// Both, as they are written.
    pub text: String,
}

/// A question.
pub struct Question {
    context: SessionContext,
    statement: Statement,
    runtime: Runtime,
}

impl Question {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// It is no SQL.
    pub fn parse(sql: &str) -> Result<Self, SqlError> {
        let runtime = Builder::new_multi_thread().build();
        let runtime = runtime.map_err(|e| SqlError::Run(e.to_string()))?;
        let config = SessionConfig::new().with_information_schema(true);
        let context = SessionContext::new_with_config(config);
        let state = context.state();
        let dialect = state.config().options().sql_parser.dialect;
        let statement = state.sql_to_statement(sql, &dialect);
        let statement = statement.map_err(|e| SqlError::of_question(&e))?;
        Ok(Self { context, statement, runtime })
    }

    /// The tables that it names.
    ///
    /// # Errors
    ///
    /// A name is none.
    pub fn tables(&self) -> Result<Vec<Named>, SqlError> {
        let state = self.context.state();
        let names = state.resolve_table_references(&self.statement);
        let named = |reference: TableReference| Named {
            schema: reference.schema().map(str::to_owned),
            table: reference.table().to_owned(),
            text: reference.to_string(),
        };
        let names = names.map_err(|e| SqlError::of_question(&e))?;
        Ok(names.into_iter().map(named).collect())
    }

    /// Gives a name, as it is written in SQL, to a table.
    ///
    /// # Errors
    ///
    /// Another table has it.
    pub fn register(&self, name: &str, table: Arc<dyn Table>) -> Result<(), SqlError> {
        let provider = Arc::new(Provider(table));
        let registered = self.context.register_table(name, provider);
        registered.map(drop).map_err(|e| SqlError::of_run(&e))
    }

    /// Answers it.
    ///
    /// # Errors
    ///
    /// It asks for what is not there, or for more than reading.
    pub fn answer(self) -> Result<Answer, SqlError> {
        let Self { context, statement, runtime } = self;
        let only_read = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let answer = async {
            let plan = context.state().statement_to_plan(statement).await?;
            only_read.verify_plan(&plan)?;
            context.execute_logical_plan(plan).await
        };
        let answer = runtime.block_on(answer).map_err(|e| SqlError::of_question(&e))?;
        let rows = runtime.block_on(answer.execute_stream()).map_err(|e| SqlError::of_run(&e))?;
        Ok(Answer { rows, runtime })
    }
}

/// The rows of an answer, a batch at a time.
pub struct Answer {
    rows: SendableRecordBatchStream,
    runtime: Runtime,
}

impl Answer {
    /// Its columns.
    pub fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

impl Iterator for Answer {
    type Item = Result<RecordBatch, SqlError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.runtime.block_on(self.rows.next())?;
        Some(batch.map_err(|e| SqlError::of_run(&e)))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatchOptions};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    /// Two files of one column each that count from ten times their number; file 9 is damaged.
    #[derive(Debug)]
    struct Numbers(Vec<usize>);

    impl Table for Numbers {
        fn schema(&self) -> SchemaRef {
            let field = |name| Field::new(name, DataType::Int64, false);
            Arc::new(Schema::new(vec![field("n"), field("file")]))
        }

        fn files(&self) -> Vec<usize> {
            self.0.clone()
        }

        fn read(&self, file: usize, columns: &[usize]) -> Batches {
            if file == 9 {
                return Box::new(std::iter::once(Err("file 9 is damaged".into())));
            }
            let schema = Arc::new(self.schema().project(columns).unwrap());
            let column = |place: &usize| -> ArrayRef {
                let value = |n: i64| if *place == 0 { 10 * file as i64 + n } else { file as i64 };
                Arc::new((0..3).map(value).collect::<Int64Array>())
            };
            let (columns, three) = (columns.iter().map(column).collect(), Some(3));
            let options = RecordBatchOptions::new().with_row_count(three);
            let batch = RecordBatch::try_new_with_options(schema, columns, &options);
            Box::new(std::iter::once(batch.map_err(Into::into)))
        }
    }

    fn ask(sql: &str, files: &[usize]) -> Result<Vec<i64>, SqlError> {
        let question = Question::parse(sql)?;
        for named in question.tables()? {
            question.register(&named.table, Arc::new(Numbers(files.to_vec())))?;
        }
        let mut rows = Vec::new();
        for batch in question.answer()? {
            rows.extend(batch?.column(0).as_primitive::<Int64Type>().values().iter().copied());
        }
        Ok(rows)
    }

    #[test]
    fn columns_and_files_are_read_as_they_are_asked_for() {
        let all: Vec<usize> = (0..20).filter(|file| *file != 9).collect();
        assert_eq!(ask("select n from t order by n desc limit 2", &all).unwrap(), [192, 191]);
        assert_eq!(ask("select file from t where n = 71", &all).unwrap(), [7]);
        assert_eq!(ask("select count(*) from t", &all).unwrap(), [57]);
        assert_eq!(ask("select count(*) from t", &[]).unwrap(), [0]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let question = |sql| match ask(sql, &[1]) {
            Err(SqlError::Question(words)) => words,
            other => panic!("{sql}: {other:?}"),
        };
        assert!(question("selec 1").contains("selec"));
        assert!(question("select nothing from t").contains("nothing"));
        assert!(question("create table a (b int)").contains("DDL"));
        let run = |sql, files: &[usize]| match ask(sql, files) {
            Err(SqlError::Run(words)) => words,
            other => panic!("{sql}: {other:?}"),
        };
        assert_eq!(run("select n from t", &[1, 9]), "file 9 is damaged");
        assert!(run("select n / (n - n) from t", &[1]).contains("ivide by zero"));
        let named = Question::parse("select 1 from a.b, \"C d\"").unwrap().tables().unwrap();
        let text: Vec<&str> = named.iter().map(|named| named.text.as_str()).collect();
        assert_eq!(text.len(), 2);
        assert!(named.iter().any(|n| n.schema.as_deref() == Some("a") && n.table == "b"));
        assert!(named.iter().any(|n| n.schema.is_none() && n.table == "C d"));
    }
}

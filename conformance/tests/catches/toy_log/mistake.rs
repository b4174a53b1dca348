//! What a toy log may do wrong.

/// One mistake; each was made by somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// The cursor is the last id read, and ids are given before the commit.
    IdCursor,
    /// Only rows of transactions older than every open one are read, and the cursor is the last id.
    HorizonIdCursor,
    /// Uncommitted rows are read.
    DirtyReads,
    /// Entries of a transaction are appended on a connection of their own.
    AppendsBesideTransaction,
    /// Going back to a savepoint leaves the entries behind it.
    IgnoresSavepoints,
    /// Reads are served by a replica that lags behind.
    ReadsAReplica,
    /// Every page says that it is complete.
    AlwaysComplete,
    /// A page that is full leaves out the rest, without a word.
    Truncates,
    /// A page is as large as its entries are.
    IgnoresMaxBytes,
    /// A page says that it is complete as of its end.
    AsOfTheEnd,
    /// The last entry of a page is read again.
    Duplicates,
    /// A page is read backwards.
    Reorders,
    /// Rows that cannot be decoded are skipped.
    SkipsUnknownRows,
    /// Texts are trimmed on their way.
    TrimsTexts,
    /// A cursor that cannot be decoded is an error.
    RefusesUnreadableCursors,
    /// `head` means "wherever the log ends when I first read".
    LateHead,
    /// `head` is the last id that was given, to whatever transaction.
    HeadPastOpenTransactions,
    /// After a gap one reads on from the last id that was given, to whatever transaction.
    ExpiresPastOpenTransactions,
    /// A purge does not move the floor.
    ForgetsTheFloor,
    /// A purge deletes first, and moves the floor after.
    PurgesInTwoSteps,
    /// A purge deletes the newest row too.
    PurgesTheNewest,
    /// A purge does not look at the age.
    PurgesTheYoung,
    /// The identity in a cursor is not checked.
    IdentityUnchecked,
    /// The witness in a cursor is not checked.
    WitnessUnchecked,
    /// The standby that takes over lacks the last entry, under the same identity.
    FailsOverSilently,
    /// What was acknowledged last is lost in a crash.
    LosesTheLastInACrash,
    /// An append that failed is acknowledged.
    SwallowsAppendErrors,
    /// An append that fails has written its first entry.
    AppendsByHalves,
    /// `covers` is always true.
    CoversEverything,
    /// Positions of the same entries differ when appended and when read.
    PositionsDiffer,
    /// Each install begins anew.
    InstallBeginsAnew,
    /// Who installs finds that somebody else did, and fails.
    InstallsOnce,
    /// A user without rights is told that the backend is away, to be asked again for ever.
    DeniedIsUnavailable,
    /// Closing one handle closes all.
    ClosesAll,
    /// A closed handle still appends.
    AppendsAfterClose,
    /// A closed handle acknowledges what it no longer appends.
    AcknowledgesAfterClose,
    /// The entries of one append are appended one by one.
    AppendsOneByOne,
    /// A large append is cut off, and refused.
    CutsLargeAppends,
    /// An append of nothing gives a position.
    PositionForNothing,
    /// Who reads takes it away from others.
    ConsumesWhatIsRead,
    /// A wait that ends without an entry is an error.
    WaitsWithAnError,
    /// Only the first page of a series looks whether its past is still there.
    ChecksTheFirstPageAlone,
    /// While the server is down, there is nothing new.
    NothingNewWhileDown,
    /// A call that is dropped leaves its lock behind.
    LeavesLocksBehind,
    /// It joins transactions, and claims that it does not.
    ClaimsTooLittle,
    /// The statement for other drivers is no part of their transaction.
    StatementOutsideTransaction,
    /// `Debug` shows how the log is reached, with the password.
    ShowsTheSecret,
    /// So do log lines.
    LogsTheSecret,
    /// So does the cause of an error when the server does not answer.
    ErrorCarriesTheSecret,
    /// So does the refusal of a password.
    RefusalRepeatsTheSecret,
    /// Rows that were deleted by hand are not missed.
    BelievesWhatIsThere,
    /// A link that was silent for a while is another log.
    ExpiresAfterSilence,
    /// Of callers that share a statement the first alone is appended.
    GroupsForgetEntries,
    /// A user who may not read sees no rows, as under row-level security.
    EmptyWithoutRights,
    /// `covers` compares ids, which are given before the commit.
    CoversById,
    /// A purge deletes all but the newest, once anything is old enough.
    PurgesTheYoungWithTheOld,
    /// A retention is counted in milliseconds, by the number of its seconds.
    TakesSecondsForMilliseconds,
    /// No mistake: it takes 100 entries in one append at most, and refuses more.
    TakesAHundredAtMost,
    /// No mistake: of one page it tells what cannot be decoded last, which somebody else wrote.
    TellsOthersLast,
    /// A purge deletes nothing unless it is asked for everything.
    PurgesOnlyEverything,
    /// It claims to keep what it acknowledged, and loses the last of it in a crash, which it tells.
    LosesAndTellsInACrash,
    /// And so when a standby takes over.
    LosesAndTellsInAFailover,
    /// Each caller writes alone.
    AppendsEachAlone,
    /// One entry that is too large fails all callers that share its statement.
    GroupFailsTogether,
    /// Callers that share a statement are given each other's positions.
    GroupsMixPositions,
    /// An entry whose nonce is there already is not appended.
    DropsKnownNonces,
    /// What is too large to be fetched is skipped.
    SkipsHugeEntries,
    /// A limit is counted in 32 bits, and one more is asked for.
    WrapsItsLimit,
    /// The first page fixes what a series returns, and each claims its own start.
    ClaimsEachPageOfASeries,
    /// A later page goes on where the handle stopped, whatever cursor it is given.
    SeriesInTheHandle,
    /// A read that waits keeps its handle's lock.
    WaitsWithTheLock,
    /// Answers are handed out in the order of requests, also to those that were given up.
    HandsOutEarlierAnswers,
    /// An answer that is slow to come means that there is nothing new.
    SlowMeansNothingNew,
    /// The floor is the highest id that was purged, and ids are given before the commit.
    FloorById,
    /// A read looks first whether its past is still there, and then for what is new.
    ChecksBeforeItReads,
    /// A read that waits looks at its past before it waits, and not after.
    ChecksBeforeItWaits,
    /// Installing sets the floor back.
    InstallResetsTheFloor,
    /// The floor is kept in the server's memory.
    FloorInMemory,
    /// The witness is looked for by its place, whatever nonce stands there.
    WitnessByPlace,
    /// A position is an id alone, which is used again after a restore.
    PositionsAreIds,
    /// What cannot be decoded is put down to another cache.
    BlamesAnotherCache,
    /// The harness breaks it, and cannot mend it.
    CannotMend,
}

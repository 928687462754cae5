-- The tables of the call log in both databases, which differ in what is in braces. A row of
-- call_event is a delivery key, a row of call_record a call that is over. Times are microseconds
-- since 1970.

CREATE TABLE IF NOT EXISTS call_event (
    id {id},
    reference_id TEXT NOT NULL,
    event TEXT NOT NULL,
    sha256 {bytes} NOT NULL,
    caller TEXT,
    dialled TEXT,
    status TEXT,
    reply TEXT NOT NULL,
    reason TEXT,
    first_seen {integer} NOT NULL,
    last_seen {integer} NOT NULL,
    deliveries {integer} NOT NULL,
    row_line {integer},
    accept_digit TEXT,
    body {bytes} NOT NULL,
    UNIQUE (reference_id, event, sha256)
) {strict};
CREATE INDEX IF NOT EXISTS call_event_first_seen ON call_event (first_seen);
CREATE TABLE IF NOT EXISTS purged_call (sha256 TEXT PRIMARY KEY) {strict};
CREATE TABLE IF NOT EXISTS call_record (
    number {integer} PRIMARY KEY,
    reference_id TEXT NOT NULL UNIQUE,
    disposition TEXT NOT NULL,
    began {integer} NOT NULL,
    ended {integer},
    caller TEXT,
    dialled TEXT,
    destination TEXT,
    masking_id TEXT,
    row_line {integer},
    external_id TEXT,
    reason TEXT,
    status TEXT,
    wait_ms {integer},
    talk_ms {integer},
    simulated {integer} NOT NULL
) {strict};
CREATE INDEX IF NOT EXISTS call_record_began ON call_record (began);
CREATE TABLE IF NOT EXISTS record_counter (
    number {integer} NOT NULL, recorded_to {integer} NOT NULL
) {strict};
INSERT INTO record_counter SELECT 0, 0 WHERE NOT EXISTS (SELECT * FROM record_counter);

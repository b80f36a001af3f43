-- A user's logins are listed page by page, newest first: a page is read from the index as it stands, however many there are.
-- It is made here and not beside, as docs/decisions/0013 asks, because it has never been released without: whoever comes from
-- before 0015 stops every node first.
create index logins_newest on logins (user_id, created_at, id);

-- It begins with the same column.
drop index logins_user_id;

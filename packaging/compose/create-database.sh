# Run by the image of Postgres, once, when the cluster is new: a role that owns its database, and no more.
psql --set ON_ERROR_STOP=1 --username postgres --dbname postgres <<'SQL'
\set password `cat /secrets/postgres_password`
create role dualauth login password :'password';
create database dualauth owner dualauth encoding 'UTF8' template template0;
SQL

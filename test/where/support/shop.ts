/** A table like the ones applications have. */
export const shopTable = `
CREATE TYPE order_status AS ENUM ('draft', 'open', 'shipped', 'cancelled');
CREATE DOMAIN email AS text CHECK (VALUE ~ '@');
CREATE TYPE address AS (street text, city text, zip int);
CREATE TABLE orders (
  id int PRIMARY KEY, tenant_id int NOT NULL, user_id uuid, status order_status, title text, body text, code varchar(12),
  country char(3), price numeric(10,2), rating float8, discount real, quantity int, big bigint, done boolean,
  created_at timestamptz, due date, starts timestamp, opens time, span interval, tags text[], numbers int[],
  amounts numeric[], meta jsonb, raw json, ip inet, mail email, period daterange, address address, blob bytea
);
INSERT INTO orders VALUES
 (1, 1, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'open', 'Hello World', E'first\\nsecond', 'AB-1', 'DE', 10, 4.5, 0.1, 3, 9007199254740993, true,
  '2020-01-01 00:00:00+00', '2020-01-01', '2020-01-01 10:00:00', '08:30', '1 day', '{red,blue}', '{1,2,3}', '{1.0,2.50}',
  '{"plan": "pro", "seats": 5, "flags": {"beta": true}, "tags": ["x"]}', '{"a": 1}', '10.0.0.5', 'a@b.c', '[2020-01-01,2020-02-01)', '("Main St",Berlin,10115)', '\\x00ff'),
 (2, 1, NULL, 'draft', 'hello', 'a%b', 'ab-2', 'F', 0.30, 'NaN', 0.5, NULL, 5, false,
  '2024-03-31 01:30:00.123456+00', 'infinity', '2024-02-29 23:59:59', '24:00', '24 hours', '{}', '{}', '{}', '{"plan": null}', '[1, 2]', '192.168.1.0/24', 'x@y.z', 'empty', NULL, '\\x'),
 (3, 2, '00000000-0000-0000-0000-000000000001', 'shipped', 'Über cool', 'été', NULL, NULL, NULL, '-Infinity', 3.5, -7, NULL, NULL,
  NULL, '2024-02-29', 'infinity', NULL, '1 mon', '{NULL,red}', '{{1,2},{3,4}}', '{NULL}', '[1, {"plan": "pro"}]', '"s"', '::1', NULL, '(,2021-01-01)', '(,,)', NULL),
 (4, 3, 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'cancelled', '', '😀 emoji', 'x', 'USA', 99999999.99, 0, -0, 2147483647, -9223372036854775808, true,
  '1999-12-31 23:59:59.999+00', '0044-03-15 BC', '10000-01-01 00:00:00', '00:00', '30 days', '{"with space","comma,"}', '{NULL,5}', '{12345678901234567891}',
  '{"seats": "12", "plan": "free"}', '{"a":null}', 'fe80::1/64', 'Q@W.E', '[2024-01-01,)', '(A,B,1)', '\\xdead'),
 (5, 1, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'open', 'a%c', 'a\\b', 'AB-3', 'DE ', 19.99, 2.5, 1, 0, 12345678901234567, false,
  '2024-12-31 23:00:00+00', '2024-12-31', '2024-12-31 12:00:00', '12:30:00.5', '-1 day', '{blue}', '{7}', '{0.1}', '{}', '{}', '10.1.2.3', 'm@n.o', '[2024-12-31,2025-01-01)', NULL, NULL),
 (6, 7, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`

-- A shop: 60,000 customers in 100 regions, 1,200,000 orders; 256 MB with its indexes.
SELECT setseed(0.5);
CREATE TABLE customers (
    id int PRIMARY KEY, region int NOT NULL, balance bigint NOT NULL, name text NOT NULL
) WITH (fillfactor = 80);
CREATE TABLE orders (
    id bigserial PRIMARY KEY, customer int NOT NULL, placed timestamptz NOT NULL,
    amount int NOT NULL, note text NOT NULL
);
INSERT INTO customers SELECT id, 1 + id % 100, 0, md5(id::text) FROM generate_series(1, 60000) id;
INSERT INTO orders (customer, placed, amount, note)
SELECT 1 + floor(60000 * random()), timestamptz '2026-01-01Z' + n * interval '20 seconds',
    1 + floor(10000 * random()), repeat(md5(n::text), 3)
FROM generate_series(1, 1200000) n;
CREATE INDEX ON orders (customer);
CREATE INDEX ON orders (placed);
CREATE INDEX ON customers (region);

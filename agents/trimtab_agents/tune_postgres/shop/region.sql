-- Who spends most in a region: a join that can be made by index or by reading all orders.
\set region random(1, 100)
SELECT c.id, c.name, sum(o.amount) AS spent, count(*)
FROM customers c JOIN orders o ON o.customer = c.id
WHERE c.region = :region GROUP BY c.id ORDER BY spent DESC LIMIT 10;

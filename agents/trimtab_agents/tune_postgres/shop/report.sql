-- Each customer's third largest order of a week: 30,000 rows to sort, 5 MB.
\set first random(1, 1160000)
\set last :first + 30000
SELECT customer, amount, note FROM (
    SELECT customer, amount, note,
        rank() OVER (PARTITION BY customer ORDER BY amount DESC) AS place
    FROM orders
    WHERE placed >= timestamptz '2026-01-01Z' + :first * interval '20 seconds'
        AND placed < timestamptz '2026-01-01Z' + :last * interval '20 seconds'
) ranked WHERE place = 3 ORDER BY amount DESC LIMIT 10;

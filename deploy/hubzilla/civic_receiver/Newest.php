<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

/** Keeps the last few names in sort order, of any number of names, in little memory. */
final class Newest
{
	private array $kept = [];

	public function __construct(private int $most)
	{
	}

	public function add(string $name): void
	{
		$this->kept[] = $name;
		if (count($this->kept) >= 4 * $this->most) {
			$this->kept = $this->names();
		}
	}

	public function names(): array
	{
		rsort($this->kept, SORT_STRING);
		return array_slice($this->kept, 0, $this->most);
	}
}

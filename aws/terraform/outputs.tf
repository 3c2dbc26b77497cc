output "client_role_arn" {
  description = "awsIot.roleArn of the server."
  value       = aws_iam_role.client.arn
}

output "bridge_role_arn" {
  description = "What the bridge of the server assumes."
  value       = aws_iam_role.bridge.arn
}

output "server_policy_arn" {
  description = "To be attached to what the server runs as."
  value       = aws_iam_policy.server.arn
}

output "authorizer_name" {
  description = "awsIot.authorizer of the server, in place of roleArn."
  value       = one(aws_iot_authorizer.authorizer[*].name)
}

output "ingest_queue_url" {
  description = "What clients published."
  value       = one(aws_sqs_queue.ingest[*].url)
}

output "dead_letter_queue_url" {
  description = "What was put aside."
  value       = one(aws_sqs_queue.dead_letter[*].url)
}

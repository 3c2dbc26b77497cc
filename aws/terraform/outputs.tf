output "client_role_arn" {
  description = "awsIot.roleArn of the server."
  value       = aws_iam_role.client.arn
}

output "bridge_role_arn" {
  description = "awsIot.bridgeRoleArn of the server."
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
  description = "awsIot.queueUrl of the server."
  value       = one(aws_sqs_queue.ingest[*].url)
}

output "dead_letter_queue_url" {
  description = "awsIot.deadLetterQueueUrl of the server."
  value       = one(aws_sqs_queue.dead_letter[*].url)
}
